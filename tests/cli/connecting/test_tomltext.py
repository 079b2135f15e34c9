"""A table is added to a text of TOML and taken out again, and every other character stays."""

import tomllib

import pytest

from agentsquad.cli.connecting import tomltext

PATH = ("mcp_servers", "agentsquad")
TABLE = {"command": '/a "b"/ü\x7f', "args": ["mcp", "--as", "ada"], "env": {"SQUAD_HOME": "/x y"}}


@pytest.mark.parametrize(
    "text",
    [
        "", "# mine\n", "a = 1", "a = 1\n", "a = 1\n\n\n", "a = 1\r\n\r\n# end\r\n",
        '[mcp_servers.other]\ncommand = "x"\n\n[mcp_servers.other.env]\nA = "1"\n# after\n',
        '[[list]]\na = [\n  1,\n]\n\n[profiles."x.y"]  # why\nb = """\n[not a table]\n"""\n', "[mcp_servers]\n",
        "a = '\u2028'\n",
    ],
)  # fmt: skip
def test_what_is_added_can_be_taken_out_again(text: str) -> None:
    added = tomltext.added(text, PATH, TABLE)
    expected = tomllib.loads(text)
    expected.setdefault("mcp_servers", {})["agentsquad"] = TABLE
    assert tomllib.loads(added) == expected
    assert tomltext.without(added, PATH) == text


def test_tables_in_it_go_too_and_what_is_written_behind_it_stays() -> None:
    text = (
        'a = 1\n\n[mcp_servers.agentsquad]\ncommand = "x"\nargs = [\n  "mcp",\n]\n\n'
        '[mcp_servers.agentsquad.tools.claim_task]\napproval_mode = "approve"\n\n# of the other\n'
        '[mcp_servers."agentsquad-ada"]\ncommand = "y"\n'
    )
    assert tomltext.without(text, PATH) == (
        'a = 1\n\n# of the other\n[mcp_servers."agentsquad-ada"]\ncommand = "y"\n'
    )  # fmt: skip
    assert "claim_task" in tomltext.without(text, PATH, ("env",))


def test_a_name_in_quotes_is_the_same_name() -> None:
    assert tomltext.without('[ mcp_servers . "agentsquad" ]\ncommand = "x"\n', PATH) == ""
    assert tomltext.without("[mcp_servers.agentsquad2]\n", PATH) == "[mcp_servers.agentsquad2]\n"
