import io

from rich.console import Console

from seewhy.exports import terminal
from seewhy.types import Finding, Report


def printed(report: Report, **settings) -> str:
    page = io.StringIO()
    terminal.render(report, Console(file=page, width=100, **settings))
    return page.getvalue()


def toy(statement: str, **fields) -> Finding:
    return Finding("toy:a", "toy", "data", statement, **fields)


def test_the_verdict_comes_first_and_then_the_gravest_finding(rich):
    lines = [line.strip() for line in printed(rich).splitlines() if line.strip()]
    assert lines[0].startswith("Right on 70.2 % of 1,000 test images [67.3 to 73.0 %]; not clearly better")
    marked = [line for line in lines if line[0] in "\u2716\u25b2\u25c6\u25cf\u2713\u25cb"]
    assert marked[0].startswith("\u2716 critical")
    assert len(marked) == len(rich.findings)
    assert "\u25cb not checked" in marked[-1] or any("not checked" in line for line in marked)


def test_a_long_report_is_a_screenful_and_whole_where_it_is_asked_for(tmp_path):
    told = [
        Finding(f"{audit}:{place}", audit, "cause", f"Found {audit} {place}.", found=True, severity="serious")
        for audit in ("first", "second", "third", "fourth")
        for place in range(10)
    ]
    report = Report({}, (*told[:1], toy("Nothing.", found=False), *told[1:]))
    lines = printed(report).splitlines()
    assert len(lines) < 24
    assert [line.split()[-2] for line in lines if line.split()[-1:] == ["0."]] == ["first", "second", "third"]
    assert "37 more need attention." in printed(report)
    assert "Because of what does it decide?  \u25b2\u00a040\u00a0serious" in printed(report)
    assert "All 41 findings" in printed(report)
    path = terminal.write(report, tmp_path / "report.txt")
    assert path.read_text(encoding="utf-8").count("Found ") == 40


def test_names_are_shown_and_not_obeyed(hostile):
    text = printed(Report({}, tuple(toy(f"Of {name}.", found=True) for name in hostile)), force_terminal=True)
    assert "[bold red]{{ 7 * 7 }}[/bold red]" in text
    assert "\u241b[31m" in text
    assert "\x1b[31m" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "<U+202E>gpj.exe" in text
    assert "break\u240abell" in text


def test_no_color_is_respected_and_a_pipe_gets_plain_text(rich, monkeypatch, capsys):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed(rich, force_terminal=True)
    monkeypatch.delenv("NO_COLOR")
    terminal.render(rich, width=80)
    assert "\x1b" not in capsys.readouterr().out


def test_colour_comes_where_the_terminal_has_it(rich):
    assert "\x1b[1;31m" in printed(rich, force_terminal=True, color_system="standard", no_color=False)


def test_no_line_is_wider_than_asked(rich, tmp_path):
    path = terminal.write(rich, tmp_path / "report.txt", width=60)
    assert all(len(line) <= 60 for line in path.read_text(encoding="utf-8").splitlines())


def test_a_terminal_with_few_letters_gets_what_it_can_show():
    page = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    terminal.render(
        Report({}, (toy("\N{FOX FACE} \u2265 1.", found=True, severity="serious"),)), Console(file=page, width=80)
    )
    page.seek(0)
    assert "! serious" in (text := page.read())
    assert "\\U0001f98a \\u2265 1." in text


def test_a_report_without_findings_says_so():
    assert printed(Report({}, ())).strip() == "Nothing was asked, so nothing was found."
