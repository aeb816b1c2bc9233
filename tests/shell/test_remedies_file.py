"""REMEDIES_FILE: rows of the merchant's own, stricter ones only, and complaints that name lines."""

from pathlib import Path

import pytest

from consumer.cli import main
from consumer.settings import SettingsInvalid, load_store
from consumer.settings.remedies import RemediesInvalid, line_of, load_changes
from handlers.policy import Policy
from handlers.remedies.answers import ROWS
from handlers.remedies.changing import STRICTER, Refused, Wish, granted
from handlers.remedies.words import CHARGES, Action, When
from handlers.tables import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "remedies.md"


def refused(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "remedies.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(RemediesInvalid) as error:
        load_changes(file)
    return error.value.lines


def changed(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "remedies.toml"
    file.write_text(text, "utf-8")
    return Policy(**load_changes(file).fields())


def test_the_example_in_the_docs_works(tmp_path: Path) -> None:
    example = PAGE.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    policy = changed(tmp_path, example)
    assert policy.table.row(409, "do_not_honor", None, None).then.again == 0
    assert policy.table.row(409, "do_not_honor", None, "moto").then.again == 0
    ours = policy.table.row(409, "insufficient_funds", None, "merchant_initiated").then
    assert (ours.action, ours.message) == (Action.STOP, "order.failed")
    assert ours.source == "REMEDIES_FILE, line 6"
    assert policy.table.row(409, "insufficient_funds", None, None) is TABLE.row(
        409, "insufficient_funds", None, None
    )
    assert policy.max_submissions == Policy().max_submissions


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[row]]\nstatus = 409\ncode = "fraud"\n\nremedy = "new_checkout"',
         "line 5, row 1 (409 fraud): remedy: new_checkout would be looser than end"),
        ('[[row]]\nstatus = 429\nremedy = "new_checkout"', "line 3, row 1 (429): remedy"),
        ('[[row]]\nstatus = 409\ncode = "declined"\nagain = 1', "line 4, row 1 (409 declined): ag"),
        ('[[row]]\nstatus = 409\ncode = "do_not_honour"\nagain = 0', "did you mean do_not_honor?"),
        ('[[row]]\nstatus = 422\nremedy = "stop"', "line 2, row 1 (422): status: no row"),
        ('[[row]]\nstatus = 409\ncode = "declined"\nremedy = "stop"\n'
         '[[row]]\nstatus = 409\ncode = "declined"\nremedy = "person"',
         "line 5, row 2 (409 declined): contradicts line 1"),
        ('[[row]]\nstatus = 409\ncode = "do_not_honor"\nremedy = "stop"\nagain = 1',
         "again: contradicts the remedy stop"),
        ('[[row]]\nstatus = 409\ncode = "fraud"\nmessage = "payment.declined"',
         "line 4, row 1 (409 fraud): message: can't be changed"),
        ('[[row]]\nstatus = 409\ncode = "declined"\nmessage = "payment.nonsense"', "no such text"),
        ('[[row]]\nstatus = 409\ncode = "declined"\nmessage = "order.failed"', "must begin with"),
        ('[[row]]\nstatus = 409\ncode = "declined"', "changes nothing"),
        ('[[row]]\nstatus = 409\ncode = "declined"\ncharge_type = "post"', "charge_type: must be"),
        ("[[row]]\nstatus = 409\nremdy = 'stop'", "line 3, row 1 (409): remdy: no such key"),
        ("# note\n\n[[row]]\ncode = 'declined'", "line 3, row 1 (declined): status: is required"),
        ("[limits]\nsubmissions = 9", "line 2: limits.submissions: must be less than or equal"),
        ("[limits]\nsubmissions = true", "line 2: limits.submissions"),
        ("[choices]\nrepeats = 4", "line 2: choices.repeats: must be less than or equal to 3"),
        ('note = """\ntwo\n"""\n', "line 1: note: no such key"),
        ('[row]\nstatus = 409', "line 1: row"),
        ("[[row]]\nstatus = ", "is not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    assert any(told in line for line in refused(tmp_path, text)), refused(tmp_path, text)


def test_a_bad_file_stops_the_start_with_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "remedies.toml"
    file.write_text("[limits]\nsubmissions = 6\n", "utf-8")
    environ = {"ORDER_RESCUE_REMEDIES_FILE": str(file)}
    with pytest.raises(SettingsInvalid) as error:
        load_store(environ, None)
    assert error.value.lines == [
        "ORDER_RESCUE_REMEDIES_FILE: line 2: limits.submissions: must be less than or equal to 5"
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDER_RESCUE_REMEDIES_FILE", str(file))
    assert main(["remedies"]) == 2
    assert "line 2" in capsys.readouterr().err


def test_whatever_is_granted_is_stricter_for_every_answer() -> None:
    """All rows, all remedies, with and without a parameter: none of them loosens another one."""
    tries = 0
    keys = {(row.when.status, row.when.code) for row in ROWS}
    for status, code in sorted(keys, key=str):
        for parameter, charge in ((None, None), ("sourceId", None), (None, CHARGES[1])):
            for action in Action:
                wish = Wish(When(status, code, parameter, charge), action.value, again=0)
                try:
                    row = granted(wish, "ours")
                except Refused:
                    continue
                tries += 1
                asked = {"4xx": 499, "5xx": 500, "none": None}.get(status, 0)
                asked = int(status) if asked == 0 else asked
                for kind in (charge,) if charge else (None, *CHARGES):
                    before = TABLE.row(asked, code, parameter, kind).then
                    hides = parameter or kind == charge
                    became = row.then.action
                    stricter = became is before.action or became in STRICTER.get(before.action, ())
                    assert not hides or (stricter and row.then.again <= before.again)
    assert tries > 100


def test_a_line_is_where_a_value_begins() -> None:
    text = 'a = 1\n\n# note\nb = """\nx\n"""\n[c.d]\ne = [\n 1,\n 2,\n]\n[[f]]\n[[f]]\ng = 2\n'
    lines = {("a",): 1, ("b",): 4, ("c", "d"): 7, ("c", "d", "e"): 8, ("f", 1): 13,
             ("f", 1, "g"): 14, ("f", 1, "h"): 13, ("z",): 1}  # fmt: skip
    assert {path: line_of(text, path) for path in lines} == lines
