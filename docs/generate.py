"""Writes the pages that are made from the code; with --check, fails if one of them is stale."""

import os
import subprocess
import sys
from pathlib import Path

from typer.main import get_command

from seewhy import shelf
from seewhy.cli import app
from seewhy.interventions import HANDED
from seewhy.settings import help_of, kinds

DOCS = Path(__file__).parent
#: What an intervention is handed beside its own settings.
BESIDE = HANDED - {"strength"}
HEAD = "<!-- Made by docs/generate.py from the code; edit the code instead. -->\n\n"


def shelves() -> str:
    """Each shelf's members with their questions and settings."""
    page = [HEAD + "# What stands on the shelves\n"]
    for name in shelf.VERBS:
        page.append(f"## {name}\n\n| name | the question it answers | settings |\n| --- | --- | --- |")
        for member in shelf.members(name).values():
            own = [each for each in member.settings if name != "interventions" or each.name not in BESIDE]
            settings = ", ".join(f"`{setting.name}` ({setting.type})" for setting in own) or "none"
            page.append(f"| `{member.name}` | {_cell(member.question)} | {_cell(settings)} |")
        page.append("")
    return "\n".join(page)


def settings() -> str:
    """All settings of a run."""
    rows = []
    for name, (kind, choices) in kinds().items():
        type_name = "list" if kind is tuple else kind.__name__
        rows.append(f"| `{name}` | {_cell(' or '.join(choices) or type_name)} | {_cell(help_of(name))} |")
    return (
        HEAD
        + "# Settings\n\nEach is a flag of the command line (`--label-smoothing`), a name in the TOML file given with\n"
        + "`--config` (`label_smoothing`), and a keyword argument of `seewhy.train` and `seewhy.audit`. A run keeps\n"
        + "those it ran with in `settings.json`.\n\n| name | kind | what it is for |\n| --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


def command_line() -> str:
    """What `seewhy COMMAND --help` prints."""
    page = [HEAD + "# The command line\n", "```", _help(), "```"]
    for command in get_command(app).commands:
        page += [f"\n## seewhy {command}\n", "```", _help(command), "```"]
    return "\n".join(page) + "\n"


def networks() -> str:
    """The page of the networks: what was written by hand, and below the mark each family with its sizes."""
    mark = "<!-- The table below is made by docs/generate.py. -->\n"
    written, _, _ = (DOCS / "networks.md").read_text(encoding="utf-8").partition(mark)
    rows = []
    for family, member in shelf.members("networks").items():
        module = shelf.load("networks", family)
        papers = module.paper.values() if isinstance(module.paper, dict) else [module.paper]
        links = ", ".join(f"[{place}]({paper})" for place, paper in enumerate(dict.fromkeys(papers), start=1))
        rows.append(f"| {_cell(member.question)} | {', '.join(f'`{size}`' for size in module.sizes)} | {links} |")
    head = "\n## All of them\n\n| the question it answers | names | papers |\n| --- | --- | --- |\n"
    return written + mark + head + "\n".join(rows) + "\n"


def _help(*command: str) -> str:
    plain = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    code = "import sys; sys.argv[0] = 'seewhy'; from seewhy.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, env=plain, check=True
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def data_zoo() -> str:
    """Every oddity that the tests make, and what happens to it."""
    sys.path.insert(0, str(DOCS.parent / "tests"))
    import zoo

    rows = [
        f"| {number} | {_cell(quirk.name)} | {quirk.outcome} | {f'`{quirk.code}`' if quirk.code else ''} | "
        f"{_cell(quirk.words)} |"
        for number, quirk in zoo.QUIRKS
    ]
    return (
        HEAD
        + "# The data zoo\n\nWhat is odd in folders of images, and what happens to it. The tests make each of these\n"
        + "(`tests/zoo.py`) and look; another test sees that no command changes a byte of the folder that\n"
        + "holds them all.\n\n"
        + "| outcome | means |\n| --- | --- |\n"
        + "| left out | the file is not used, stands in the quarantine list, and is never replaced by another |\n"
        + "| named | a problem says so; whatever can be used is used |\n"
        + "| refused | nothing is read; the command ends with this sentence |\n"
        + "| read | as said, without a word |\n\n"
        + "[data.md](data.md) explains the codes, and the rule for each mode of an image.\n\n"
        + "| | what | outcome | code | part of the sentence |\n| ---: | --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


PAGES = {
    "shelves.md": shelves,
    "settings.md": settings,
    "command_line.md": command_line,
    "networks.md": networks,
    "data_zoo.md": data_zoo,
}


def main() -> int:
    """0 if all pages are written, or fresh; 1 if --check found a stale one."""
    stale = []
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if "--check" in sys.argv:
            stale += [name] if not path.exists() or path.read_text(encoding="utf-8") != text else []
        else:
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"stale: {', '.join(stale)}; run `make docs`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
