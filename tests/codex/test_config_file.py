"""Codex's files in TOML as tables: what is read, and what is said of the rest."""

from pathlib import Path

import pytest

from armarius.codex.config_file import read_config
from armarius.codex.home import read_owner
from armarius.codex.layers import read_layers
from armarius.errors import DataError


@pytest.mark.parametrize(
    ("data", "table"),
    [
        (None, {}),
        (b"", {}),
        (b"\xef\xbb\xbf", {}),
        (b'\xef\xbb\xbfmodel = "x"\r\n', {"model": "x"}),
        ("[a.'ü']\nb = 1\n".encode(), {"a": {"ü": {"b": 1}}}),
    ],
)
def test_it_is_read_as_codex_reads_it(tmp_path: Path, data: bytes | None, table: dict[str, object]) -> None:
    path = tmp_path / "config.toml"
    if data is not None:
        path.write_bytes(data)
    assert read_config(path) == table


@pytest.mark.parametrize(
    "data", [b"model = ", b"\xff", b"a = " + b"[" * 5000, b"\xef\xbb\xbf\xef\xbb\xbfa = 1", b" " * 101]
)
def test_what_cannot_be_read_is_said_with_its_place(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    with pytest.raises(DataError, match=str(path)):
        read_config(path, 100 if data.isspace() else 1 << 20)


def test_a_byte_order_mark_hides_no_provider_and_no_model(tmp_path: Path) -> None:
    said = '\ufeffmodel_provider = "x"\nmodel = "m"\n[model_providers.x]\nname = "x"\nbase_url = "http://127.0.0.1:9"\n'
    (tmp_path / "config.toml").write_text(said)
    assert read_owner(tmp_path).model == "m"
    [layer] = read_layers(tmp_path, system=tmp_path / "none")
    assert (layer.said["model_provider"], list(layer.providers)) == ("x", ["x"])
