"""What somebody writes for a need, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.errors import UsageError
from armarius.resources.needs import Need, parse_need, parse_needs


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("gpu", Need("gpu", 1)),
        ("gpu:2", Need("gpu", 2)),
        ("port:8080", Need("port", 8080)),
        ("port:65535", Need("port", 65_535)),
        ("ram:8GiB", Need("ram", 8 << 30)),
        ("ram:8G", Need("ram", 8 << 30)),
        ("ram:1.5GiB", Need("ram", 3 << 29)),
        ("ram:10GB", Need("ram", 10**10)),
        ("ram:512mb", Need("ram", 512 * 10**6)),
        ("ram:100", Need("ram", 100)),
        ("ram:100B", Need("ram", 100)),
        ("disk:10GiB", Need("disk", 10 << 30)),
        ("disk:10GiB@/a:b@c", Need("disk", 10 << 30, "/a:b@c")),
        ("licence:2", Need("licence", 2)),
        ("mcp:my_docs-2", Need("mcp", server="my_docs-2")),
        ("my-thing_2", Need("my-thing_2", 1)),
    ],
)
def test_a_need_is_read(text: str, need: Need) -> None:
    assert parse_need(text) == need
    assert parse_need(str(need)) == need


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            "gpu:",
            ":1",
            "GPU:1",
            "gpu:0",
            "gpu:-1",
            "gpu:1.5",
            "gpu:\u0661",
            "gpu:99999999999",
            "gpu:1:2",
            "gpu 1",
        ),
        *("port", "port:0", "port:65536", "port:http", "ram", "ram:", "ram:0", "ram:lots", "ram:8XiB", "ram:-8GiB"),
        *("ram:1e9", "ram:nan", "ram:9999999PiB", "disk:10GiB@", "disk:@/a", "disk", "a\0b", "é:1", "a\n", "x" * 65),
        *("disk:1GiB@" + "x" * 5000, "mcp", "mcp:", "mcp:a b", "mcp:" + "x" * 129),
    ],
)
def test_what_is_no_need_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_need(text)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert len(str(caught.value)) < 400


@given(st.text(max_size=40))
def test_any_text_is_a_need_or_one_clear_error(text: str) -> None:
    try:
        need = parse_need(text)
    except UsageError:
        return
    assert parse_need(str(need)) == need


def test_needs_come_in_one_order_and_add_up() -> None:
    texts = [
        "mcp:a",
        "mcp:a",
        "ram:1GiB",
        "gpu",
        "port:2",
        "gpu:2",
        "port:1",
        "port:2",
        "disk:1B@/a",
        "disk:1B@/b",
        "disk:2B@/a",
    ]
    needs = (Need("disk", 3, "/a"), Need("disk", 1, "/b"), Need("gpu", 3), Need("mcp", server="a"))
    needs += (Need("port", 1), Need("port", 2), Need("ram", 1 << 30))
    assert parse_needs(texts) == parse_needs(reversed(texts)) == needs
