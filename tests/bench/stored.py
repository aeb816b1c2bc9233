"""A store that has been used for long: so many purchases, with five facts each.

They ended within the last 44 days, but for one in fifty that still waits for its shopper. Bodies
are there for the last 30 days, as `KEEP_BODIES` has it, and ids for 45, as `KEEP_IDS` has it.
"""

import json
from collections.abc import Iterator

from schemas.purchase import Reason, State
from tests.bench import documents
from tests.bench.books import count, do, rows
from tests.bench.load import checkout_updated

FACTS = 5
CHUNK = 50_000  # purchases in one transaction
TAG = "@@@@@@@@@"  # nine digits in its place
ONE_HELD = 50
_ID = f"pur_{TAG}"
# The event, the request, and the answers of the platform.
ORIGINS = ("shop", "command", "command", "platform", "command")
TRANSPORTS = ("api", "internal", "internal", "webhook", "internal")
TYPES = (
    *("purchase_requested", "command_ended", "command_ended", "order.accepted", "command_ended"),
)


async def fill_up(url: str, number: int) -> None:
    """Fill a migrated PostgreSQL database. Indexes are made at the end, which is faster."""
    indexes = await _indexes(url)
    await do(url, *(f"DROP INDEX {name}" for name in indexes))
    for first in range(0, number, CHUNK):
        last = min(first + CHUNK, number) - 1
        await do(url, "; ".join(_statements(first, last, number)))
    await do(url, *indexes.values(), "VACUUM (ANALYZE)", "CHECKPOINT")
    assert await count(url, "SELECT count(*) FROM purchases") == number


async def _indexes(url: str) -> dict[str, str]:
    """Those that hold nothing unique, and how each is made."""
    query = """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE NOT indisunique AND indrelid IN ('inbox'::regclass, 'purchases'::regclass,
            'keys'::regclass, 'links'::regclass, 'commands'::regclass, 'decisions'::regclass,
            'outcomes'::regclass)
    """
    return {str(name): str(made) for name, made in await rows(url, query)}


def _statements(first: int, last: int, number: int) -> Iterator[str]:
    """What a chunk of purchases consists of, as the service would have left it."""
    series = f"generate_series({first}, {last}) AS n"
    held = f"n % {ONE_HELD} = 0"
    # Spread over 44 days, in the order of the ids, which begin with the time as real ones do.
    at = f"(now() - interval '44 days' * (1 - n / {number}.0) - interval '1 minute')"
    tag = "lpad(n::text, 9, '0')"
    stamp = f"lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0')"
    id = f"('pur_' || {stamp} || '0000000' || {tag})"
    done = _quoted(_document(State.ACCEPTED, None))
    waits = _quoted(_document(State.HELD, Reason.PAYMENT_REQUIRED))
    yield f"""INSERT INTO purchases (id, upstream_id, state, reason, checkout_id, order_id, version,
        schema_number, document, created_at, updated_at, purged_at)
        SELECT id, 'web-' || t, CASE WHEN {held} THEN 'held' ELSE 'accepted' END,
        CASE WHEN {held} THEN 'payment_required' END, 'c-' || t,
        CASE WHEN {held} THEN NULL ELSE 'o-' || t END, 5, 1,
        replace(replace(CASE WHEN {held} THEN {waits} ELSE {done} END, '{_ID}', id), '{TAG}', t),
        at, at,
        CASE WHEN at < now() - interval '30 days' AND NOT ({held}) THEN now() END
        FROM {series}, LATERAL (SELECT {tag} AS t, {id} AS id, {at} AS at) AS of"""
    yield f"""INSERT INTO leases (name, owner, epoch, until)
        SELECT 'purchase/' || {id}, '', 3, {at} FROM {series}"""
    for kind, prefix in (("upstream", "web-"), ("checkout", "c-"), ("session", "s-")):
        yield f"""INSERT INTO keys (kind, value, purchase_id)
            SELECT '{kind}', '{prefix}' || {tag}, {id} FROM {series}"""
    yield f"""INSERT INTO keys (kind, value, purchase_id)
        SELECT 'order', 'o-' || {tag}, {id} FROM {series} WHERE NOT ({held})"""
    for kind, prefix in (("source", "src-"), ("email", "")):
        value = f"'{prefix}' || {tag}" if prefix else f"md5({tag}) || md5('e' || {tag})"
        yield f"""INSERT INTO links (kind, value, purchase_id)
            SELECT '{kind}', {value}, {id} FROM {series}"""
    yield from _facts(series, tag, id, at)
    yield f"""INSERT INTO commands (key, purchase_id, kind, body, status, attempt, at, due, ended)
        SELECT {id} || '/' || k, {id}, 'read_checkout', {_quoted(_command())},
        'ended', 1, {at}, {at}, {at} FROM {series}, generate_series(1, 3) AS k"""
    yield f"""INSERT INTO decisions (purchase_id, fact_seq, at, version, state, reason, rule,
        source, evidence, alternatives) SELECT {id}, n * {FACTS} + k, {at}, k, 'held',
        'checking', 'read.gate_open', 'PLATFORM §3.1', '{{"session": "requires_confirmation"}}',
        '[]' FROM {series}, generate_series(1, {FACTS}) AS k"""
    yield f"""INSERT INTO outcomes (id, purchase_id, sequence, type, at, body)
        SELECT {id} || '/' || k, {id}, k, 'order-rescue.purchase.held',
        {at}, CASE WHEN {at} < now() - interval '30 days' THEN '' ELSE {waits} END
        FROM {series}, generate_series(1, 3) AS k"""


def _facts(series: str, tag: str, id: str, at: str) -> Iterator[str]:
    """The facts of a chunk, in the order in which they came."""
    names = ", ".join(f"({n}, '{o}', '{t}', '{k}', {_quoted(b)})" for n, o, t, k, b in _kinds())
    yield f"""INSERT INTO inbox (origin, id, transport, type, digest, at, body, status, purchase_id)
        SELECT origin, 'fact-' || {tag} || '/' || k, transport, type, md5({tag}) || md5({tag}),
        {at}, CASE WHEN {at} < now() - interval '30 days' THEN ''::bytea
            ELSE convert_to(body, 'UTF8') END, 'done', {id}
        FROM {series}, (VALUES {names}) AS of (k, origin, transport, type, body) ORDER BY n, k"""


def _kinds() -> Iterator[tuple[int, str, str, str, str]]:
    request = json.dumps({"kind": "purchase_requested", "request": documents.request("web")})
    answer = documents.order_was_read("x", documents.ago(days=1)).model_dump_json(by_alias=True)
    bodies = (request, answer, answer, checkout_updated(), answer)
    return zip(range(1, FACTS + 1), ORIGINS, TRANSPORTS, TYPES, bodies, strict=True)


def _document(state: State, reason: Reason | None) -> str:
    made = documents.purchase(TAG, state, reason, documents.ago(days=10))
    return made.model_dump_json(by_alias=True)


def _command() -> str:
    command = {"kind": "read_checkout", "checkoutId": "c-1", "checkoutIds": ["c-1"]}
    return json.dumps(command | {"upstreamId": "web-1"})


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
