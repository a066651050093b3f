"""docs/cli.md, made from the parsers themselves: `python -m midi_llm.cli.reference > docs/cli.md`.

A test compares the file with `reference()`, so the page cannot fall behind.
"""

from __future__ import annotations

import argparse

from midi_llm.cli.arguments import COMMANDS, DEFAULT_COMMAND, PROGRAM, parser_for

HEAD = f"""# The command line

Made by `python -m midi_llm.cli.reference > docs/cli.md`; do not edit by hand.

Results go to stdout, progress and summaries to stderr. Exit codes: 0 done; 2 a request or file that cannot be served,
with one line on stderr; 130 stopped with Ctrl-C; 141 the reader of stdout went away. `{PROGRAM} PROMPT` is short for
`{PROGRAM} compose PROMPT`.
"""


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *(section(command) for command in COMMANDS)])


def section(command: str) -> str:
    """One command: what it does and a table of its arguments."""
    name = f"{PROGRAM} [{DEFAULT_COMMAND}]" if command == DEFAULT_COMMAND else f"{PROGRAM} {command}"
    text = COMMANDS[command]
    parser = parser_for(command)
    lines = [f"## `{name}`", "", f"{text[0].upper()}{text[1:]}.", "", *table(parser)]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, verb_parser in action.choices.items():
                lines += [f"### `{name} {verb}`", "", *table(verb_parser)]
    return "\n".join(lines)


def table(parser: argparse.ArgumentParser) -> list[str]:
    """The parser's arguments, a line each."""
    return ["| argument | meaning |", "|---|---|", *(row(action) for action in parser._actions), ""]


def row(action: argparse.Action) -> str:
    """One argument as a line of the table."""
    value = "" if action.nargs == 0 else str(action.metavar or "{" + ",".join(map(str, action.choices or ())) + "}")
    spelled = ", ".join(action.option_strings)
    name = f"{spelled} {value}".strip()
    return f"| `{name}` | {action.help} |".replace("NAME|DIR|ID", "NAME\\|DIR\\|ID").replace("FILE|DIR", "FILE\\|DIR")


if __name__ == "__main__":
    print(reference(), end="")
