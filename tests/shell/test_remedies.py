"""`order-rescue remedies`: the table, printed; and the page in docs/ that is made of it."""

import json
from pathlib import Path

import pytest

from consumer.cli import main
from consumer.platform.answers import Answer, Reply, judge_mutation
from handlers.remedies.answers import ROWS
from handlers.tables import TABLE, Action

PAGE = Path(__file__).parents[2] / "docs" / "remedies.md"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORDER_RESCUE_REMEDIES_FILE", raising=False)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["remedies", *arguments]))
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_page_in_docs_is_the_table_that_the_service_decides_by(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, "--markdown") == PAGE.read_text("utf-8"), "run: make remedies"


def test_programs_get_every_row_with_all_that_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(printed(capsys, "--json"))["data"]
    answers = [row for row in rows if row["part"] == "answer to the order"]
    assert len(answers) == len(ROWS)
    (found,) = [
        r for r in answers
        if (r["status"], r["code"], r["chargeType"]) == ("409", "do_not_honor", "any")
    ]  # fmt: skip
    wanted = {"remedy": "new_checkout", "again": 1, "whoActs": "the shopper",
              "budget": "5 submissions a purchase", "source": "PLATFORM §5.8"}  # fmt: skip
    assert wanted.items() <= found.items()


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys)
    assert "409 insufficient_funds" in out
    assert "who acts" in out


def test_json_and_markdown_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["remedies", "--json", "--markdown"]) == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize("status", [*range(400, 500), *range(500, 600, 9)])
@pytest.mark.parametrize("parameter", ["orderId", "email"])
def test_the_client_tells_apart_what_the_table_tells_apart(status: int, parameter: str) -> None:
    """What has no definite answer, or was not processed, never comes to a row of the others."""
    body = json.dumps({"errors": [{"code": "not_found", "parameter": parameter}]}).encode()
    reply = Reply(status, "application/json", body)
    judged = judge_mutation(reply, submission=True, seconds=0.1)
    assert not isinstance(judged, Answer)
    told = {Action.LOOK: "OutcomeUnknown", Action.WAIT: "Unavailable"}
    action = TABLE.row(status, "not_found", parameter, None).then.action
    assert type(judged).__name__ == told.get(action, "Rejected")
