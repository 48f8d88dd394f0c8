"""Fuzzed: what people write in one line, and what is kept out of logs."""

from __future__ import annotations

from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.api.secrets import MASK, Masker, Secrets, credentials, is_secret_header, mask_headers, mask_url
from oaiproxy.models.alias import aliases_of, parse_alias
from oaiproxy.rules.llmparams import SPECIAL, parse_llm_params
from oaiproxy.rules.tables import ModelTable
from oaiproxy.web.paths import below_v1
from tests.fuzz.draw import Draw

_ALIAS_WORDS = ("gpt-5.1", ":", ":res-", ":sum-", "high", "LOW", "none", "auto", "res-", "ft:", "/ft:", "-", "qwen3:8b")

_PARAM_WORDS = (
    *"[]{}\"'\\,;= \n",
    "model=",
    "model=a,",
    "x=",
    "default",
    "1",
    "-",
    ".",
    "e9",
    "nul",
    "true",
    "[1, {",
    '"\\u00',
    "9" * 30,
    "[" * 50,
    *SPECIAL,
)

_SECRETS = (b"planted-secret", b"secret-planted", b"abababab", b'quo"ted\\/', b"caf\xc3\xa9-key")

_SECRET_WORDS = (
    *_SECRETS,
    b"planted-",
    b"-secret",
    b"abab",
    b"sk-",
    b"sess-",
    b"Bearer ",
    b"bearer",
    b'"api_key"',
    b'\\"authorization\\"',
    b"cookie",
    b": ",
    b'"',
    b'\\"',
    b"\\",
    b"\\n",
    b"\\u0041",
    b"abcdefgh",
    b"1234567",
    b" ",
    b"\n",
    b"%2Fx",
)

_FIELD_NAMES = (b"Authorization", b"x-api-key", b"Cookie", b"Location", b"Set-Cookie", b"Accept", b"X-Token", b"")


def alias(draw: Draw) -> None:
    """A model's name: it is taken apart or refused, and what is left of it is its beginning."""
    model = draw.joined(_ALIAS_WORDS, "", 8)
    try:
        base, choice = parse_alias(model)
    except BadRequest as error:
        assert error.param == "model"
        return
    assert model.startswith(base), (model, base)
    assert bool(base) == bool(model)
    assert choice.requested == model
    assert parse_alias(base)[0] == base, "an alias of an alias"
    if base and "ft:" not in base:
        for made in aliases_of(base, frozenset(("low", "high"))):
            assert parse_alias(made)[0] == base, made


def llm_params(draw: Draw) -> None:
    """``LLM_PARAMS``: tables, or a ValueError of one line."""
    text = draw.joined(_PARAM_WORDS, "", 40)
    try:
        tables = parse_llm_params(text)
    except ValueError as error:
        assert "\n" not in str(error), error
    else:
        assert all(isinstance(table, ModelTable) for table in tables)
        assert parse_llm_params(text) == tables


def masking(draw: Draw) -> None:
    """A text that is logged: whatever the cut it is masked alike, and no secret is left."""
    known = Secrets(_SECRETS[: draw.below(len(_SECRETS) + 1)])
    text = draw.joined(_SECRET_WORDS, b"", 30)
    shown = known.mask(text)
    for form in known.forms:
        assert form not in shown, (form, shown)
    masker = Masker(known)
    pieces = [masker.feed(piece) for piece in draw.pieces(text)]
    assert b"".join([*pieces, masker.end()]) == shown, (pieces, shown)


def masked_heads(draw: Draw) -> None:
    """Header fields and URLs that are logged: their secrets are not shown."""
    known = Secrets(_SECRETS[: draw.below(len(_SECRETS) + 1)])
    fields = [(draw.choice(_FIELD_NAMES) or draw.raw(8), draw.joined(_SECRET_WORDS, b"", 6)) for _ in draw.some(6)]
    for (name, value), (shown_name, shown) in zip(fields, mask_headers(fields, known), strict=True):
        assert shown_name == _text(name)
        assert not is_secret_header(name) or shown.endswith(MASK)
        assert isinstance(shown, str), value
    credentials(fields)
    url = draw.joined((b"http://", b"u:p@", b"host", b"/", b"?", b"&", b"api_key=", b"=", b"#", b"%", *_SECRETS), b"")
    shown = mask_url(url, known)
    for form in known.forms:
        assert form.decode("latin-1") not in shown, shown


def request_target(draw: Draw) -> None:
    """A request target: what is passed on stays below the upstream's base, or it is refused."""
    target = draw.joined(
        (b"/v1", b"/", b"..", b".", b"%2e", b"%2E", b"%2f", b"%5c", b"\\", b"?", b"#", b"//", b"chat", b"http://evil"),
        b"",
        12,
    )
    try:
        below = below_v1(target)
    except ApiError:
        return
    assert below.startswith(b"/"), below
    path = below.partition(b"?")[0].lower().replace(b"%2e", b".").replace(b"%2f", b"/").replace(b"%5c", b"/")
    assert b".." not in path.replace(b"\\", b"/").split(b"/"), below


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
