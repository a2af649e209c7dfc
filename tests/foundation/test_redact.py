"""Secrets of every known kind, in the places where they turn up, and that nothing of them is left."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.redact import redact

BODY = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
UPPER = "ABCD1234EFGH5678"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{BODY}"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}/+==\n{BODY}\n-----END RSA PRIVATE KEY-----"

SECRETS = {
    "openai-key": f"sk-proj-{BODY}",
    "openai-key of another house": f"sk-ant-api03-{BODY}",
    "github-token": f"ghp_{BODY}",
    "github-token of an app": f"ghs_{BODY}",
    "github-token, fine-grained": f"github_pat_{BODY}_{BODY}",
    "gitlab-token": f"glpat-{BODY}",
    "npm-token": f"npm_{BODY}",
    "hf-token": f"hf_{BODY}",
    "xai-key": f"xai-{BODY}",
    "google-key": f"AIza{BODY}",
    "slack-token": f"xoxb-1234567890-{BODY}",
    "aws-key": f"AKIA{UPPER}",
    "stripe-key": f"sk_live_{BODY}",
    "pypi-token": f"pypi-{BODY}{BODY}",
    "refresh-token": f"rt_{BODY}",
    "google-key of an account": f"ya29.{BODY}",
    "google-key of an app": f"GOCSPX-{BODY}",
    "provider-key of Groq": f"gsk_{BODY}",
    "provider-key of SendGrid": f"SG.{BODY}.{BODY}",
    "provider-key of a bot": f"123456789:AA{BODY}",
    "provider-key of a vault": f"hvs.{BODY}",
    "provider-key of Databricks": f"dapi{'0123456789abcdef' * 2}",
    "provider-key of Shopify": f"shpat_{BODY}",
    "provider-key of age": f"AGE-SECRET-KEY-1{BODY.upper()}",
    "jwt": JWT,
    "jwt without a signature": JWT[: JWT.rindex(".") + 1],
}
"""The word up to the first space or comma is the rule's name."""

SURROUNDINGS = {
    "alone": "{}",
    "sentence": "The key is {}, keep it.",
    "quotes": 'curl -H "X-Key: {}" https://example.org',
    "assignment": "export KEY={}",
    "lines": "before\n{}\nafter",
    "tabs": "a\t{}\tb",
    "url": "https://example.org/?k={}&x=1",
    "url, encoded": "https://example.org/?next=%2Fx%3Fk%3D{}",
    "markdown": "`{}`",
    "brackets": "<{}>",
    "JSON": '{{"key": "{}"}}',
    "JSON, after a line break": '{{"output": "first\\n{}\\nlast"}}',
    "JSON, after a tab": '{{"output": "first\\t{}"}}',
    "JSON in JSON": '{{"body": "{{\\"k\\": \\"{}\\"}}"}}',
    "colours": "\x1b[1;31m{}\x1b[0m",
    "colours in JSON": '{{"output": "\\u001b[32m{}\\u001b[0m"}}',
    "colours in a Python string": "'\\x1b[32m{}\\x1b[0m'",
    "letters of another script": "Schlüssel:ключ{}",
    "Windows path": "C:\\new\\{}",
}


@pytest.mark.parametrize("place", SURROUNDINGS)
@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_found_wherever_it_stands_and_its_kind_is_said(kind: str, place: str) -> None:
    text = SURROUNDINGS[place].format(SECRETS[kind])
    rule = kind.replace(",", " ").partition(" ")[0]
    expected = SURROUNDINGS[place].format(f"[redacted:{rule}]")
    assert redact(text) == expected


NAMED = (
    *("api_key", "apikey", "API-KEY", "OPENAI_API_KEY", "aws_secret_access_key", "client_secret", "SECRET"),
    *("password", "db.password", "passwd", "access_token", "refreshToken", "auth-token", "X-Auth-Token"),
)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    "shape",
    [
        *("{}={}", "{}: {}", '{} = "{}"', "{}='{}'", '"{}": "{}"', '"{}":"{}"', "--{}={}", "{}:\n  {}"),
        *('\\"{}\\": \\"{}\\"', '\\\\\\"{}\\\\\\": \\\\\\"{}\\\\\\"'),
    ],
    ids=range(10),
)
def test_what_is_called_a_secret_is_one_whatever_it_looks_like(name: str, shape: str) -> None:
    for value in (BODY, "hunter2-hunter2", "pass\\word-with-slash", "päßwörter!?%&"):
        redacted = redact(f"x {shape.format(name, value)} y")
        assert value not in redacted
        assert value[-6:] not in redacted
        assert "[redacted:assignment]" in redacted
        assert redacted.startswith("x ")
        assert redacted.endswith(" y")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgres://user:hunter2@db/x", "postgres[redacted:url-password]db/x"),
        ("redis://:hunter2@cache:6379", "redis[redacted:url-password]cache:6379"),
        ("https://u:p@ss@w0rd@example.org/", "https[redacted:url-password]example.org/"),
        ("see 'amqp://a:b@c', then", "see 'amqp[redacted:url-password]c', then"),
        ("Authorization: Bearer abcdef123456", "Authorization: [redacted:bearer]"),
        ("authorization: bearer\tabcdef.123-456", "authorization: [redacted:bearer]"),
        ('{"authorization":"Bearer abcdef123456=="}', '{"authorization":"[redacted:bearer]"}'),
        ("Authorization: Basic dXNlcjpodW50ZXIy", "[redacted:basic]"),
        ("a basic understanding-of-everything", "a basic understanding-of-everything"),
        ("Cookie: sid=abcdef0123456; theme=dark\nAccept: x", "[redacted:cookie]\nAccept: x"),
        ('{"set-cookie": "sid=abcdef0123456; Path=/"}', '{"[redacted:cookie]"}'),
        (
            "AccountName=a;AccountKey=abcdef0123456==;EndpointSuffix=x",
            "AccountName=a;[redacted:assignment];EndpointSuffix=x",
        ),
        (f"a\n{PEM}\nb", "a\n[redacted:private-key]\nb"),
        (json.dumps(PEM), '"[redacted:private-key]"'),
        (PEM.replace("RSA ", ""), "[redacted:private-key]"),
        (PEM.replace("RSA ", "OPENSSH "), "[redacted:private-key]"),
        (PEM.replace("\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\n", 1), "[redacted:private-key]"),
        (PEM.replace("RSA ", "PGP ").replace("KEY-----", "KEY BLOCK-----"), "[redacted:private-key]"),
        (PEM[: PEM.index("/+==")], "[redacted:private-key]"),
        (
            quote(f"postgres://u:x@h/?k=sk-{BODY}", safe=""),
            f"postgres%3A%2F%2Fu%3Ax%40h%2F%3Fk%3D{'[redacted:openai-key]'}",
        ),
    ],
)
def test_urls_headers_and_keys_in_pem_lose_their_secret_part(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A task-force for risk-averse and task-oriented-programming-languages.",
        "The password must have 12 characters; secrets are kept elsewhere.",
        "cookie: a small cake; cookies: none, cookie=1",
        "tokens: 1000, max_tokens = 4096, input_tokens=17",
        "def api_key(self) -> str: ...",
        "git clone https://github.com/openai/codex.git && cd codex",
        "http://127.0.0.1:8080/v1/responses?x=a@b",
        "mail me@example.org: it is 12:30",
        "[redacted:openai-key] was here, and password=[redacted:assignment]",
        "hash sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "01936d1c-7e2a-7c4b-9f2e-0123456789ab",
        "sk-short hf_short npm_modules/ ghp_ AKIA eyJ.",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "$HOME/.codex/auth.json\n\tif (a && b) { return c[0]; }",
        "größe 😀 \x00\x1b[31mred\x1b[0m\r\n",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


pieces = st.one_of(
    st.sampled_from([*SECRETS.values(), PEM, "password=", "api_key: ", "://u:", "@h", "Bearer ", "[redacted:jwt]"]),
    st.sampled_from(
        ["\\n", "%3D", "\x1b[31m", '"', "'", "\\", " ", "\n", "-", "_", ".", "=", ":", "[", "]", "a", "sk-"]
    ),
    st.text(max_size=5),
)


@given(st.lists(pieces, max_size=12).map("".join))
def test_a_redacted_text_redacts_to_itself(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(st.text(max_size=8), st.sampled_from(sorted(SECRETS.values())), st.text(alphabet=" ,;\"'\n)}]>", max_size=5))
def test_nothing_of_a_secret_is_left_after_what_no_word_contains(before: str, secret: str, after: str) -> None:
    redacted = redact(f"{before} {secret}{after}")
    assert BODY not in redacted
    assert UPPER not in redacted
    assert "eyJhbGci" not in redacted
    assert redacted.endswith(after)


@given(st.integers(0, 400), st.sampled_from(sorted(SECRETS.values())))
def test_a_secret_is_found_at_every_offset(offset: int, secret: str) -> None:
    assert secret not in redact("." * offset + secret)
    assert secret not in redact("é" * offset + secret)


@pytest.mark.parametrize(
    "unit", ["a", "-", "://", "\\n", "password", ":", "\x1b[", "eyJ", "sk-", "%", "BEGIN ", "-----"]
)
def test_a_long_text_is_no_obstacle(unit: str) -> None:
    text = unit * 100_000 + f" ghp_{BODY}"
    assert BODY not in redact(text)
