import base64
import hashlib
import html as escaping
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from seewhy.exports import html
from seewhy.exports import json as findings_json
from seewhy.types import Finding, Report


class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and the contents of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self.styles: list[str] = []
        self.text = ""
        self.open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open = tag
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_endtag(self, tag):
        self.open = ""

    def handle_data(self, data):
        if self.open == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif self.open == "style":
            self.styles.append(data)
        else:
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    def twin(self) -> dict:
        return json.loads(next(text for attributes, text in self.scripts if attributes.get("id") == "seewhy-findings"))


def finding(subject: str, **fields) -> Finding:
    told = {
        "audit": "toy",
        "pillar": "data",
        "statement": f"Of {subject}.",
        "found": True,
        "severity": "minor",
    } | fields
    return Finding(f"{told['audit']}:{subject}", **told)


@pytest.fixture(scope="module")
def page(rich) -> Page:
    return Page(html.render(rich))


def test_the_page_opens_with_the_verdict(page):
    assert len(page.all("h1")) == 1
    assert page.text.index("Right on 70.2\u00a0% of 1,000 test images") < page.text.index("Not clearly better")
    assert page.text.index("Not clearly better") < page.text.index("At a glance")


def test_the_twin_inside_is_the_findings_document(page, rich):
    assert page.twin() == findings_json.document(rich)


def test_hostile_names_stay_text(page):
    assert "window.harmed" in page.text
    assert [attributes for attributes in page.all("script") if "src" in attributes] == []
    assert len(page.scripts) == 2
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "{{ 7 * 7 }}" in page.text
    assert "\u202e" not in page.text
    assert "\x1b" not in page.source
    assert page.text.count("x" * 195) > 0


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(page):
    policy = next(each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy")

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    (script,) = (text for attributes, text in page.scripts if "type" not in attributes)
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src {hashed(page.styles[0])}",
        f"script-src {hashed(script)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert not any("style" in attributes for _, attributes in page.elements)


def test_nothing_is_loaded_from_elsewhere(page):
    links = [attributes[name] for _, attributes in page.elements for name in ("href", "src") if name in attributes]
    assert {link.partition(":")[0] if not link.startswith("#") else "#" for link in links} == {"#", "data"}
    assert "url(" not in page.styles[0].replace("url(#", "")


def test_every_link_leads_somewhere_and_no_name_is_given_twice(page):
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    assert {each["href"][1:] for each in page.all("a")} | {each["href"][1:] for each in page.all("use")} <= set(names)
    labels = {name for _, each in page.elements for name in each.get("aria-labelledby", "").split()}
    assert labels <= set(names)


def test_findings_of_like_names_have_anchors_of_their_own():
    page = Page(html.render(Report({}, (finding("a b"), finding("a-b"), finding("\N{FOX FACE}"), finding("\u2665")))))
    assert [each["id"] for each in page.all("article")] == ["toy-a-b", "toy-a-b-2", "toy", "toy-2"]


def test_every_picture_and_chart_has_words(page):
    drawn = [each for each in page.all("svg") if each.get("role") == "img"]
    assert len([each for each in drawn if each.get("class") == "picture"]) > 10
    assert all(each.get("aria-label") or each.get("aria-labelledby") for each in drawn)
    assert all(each.get("aria-hidden") == "true" for each in page.all("svg") if each.get("role") != "img")


def test_headings_go_down_by_one(page):
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_same_report_gives_the_same_bytes(page, rich):
    assert html.render(rich) == page.source


def test_a_page_without_images_holds_none_and_names_the_examples(rich):
    text = html.render(rich, images=False)
    assert "data:image" not in text
    assert "made without pictures" in text
    assert "photos/=1+1/1.jpg" in text


def test_a_report_that_has_no_images_is_not_said_to_have_lost_any(rich):
    text = html.render(Report(rich.facts, rich.findings))
    assert "data:image" not in text
    assert "left out" not in Page(text).text


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (Report({}, ()), "No question was asked"),
        (Report({}, (Finding("a:not_run", "a", "fair", "Not run: it needs peers."),)), "What could not be checked"),
    ],
)
def test_a_report_with_little_to_say_says_it(report, says):
    page = Page(html.render(report))
    assert says in page.text
    assert page.all("article") == []


def test_a_doubt_that_many_findings_share_is_said_once_and_kept_with_each():
    text = html.render(Report({}, tuple(finding(name, doubts=("Rows are independent.",)) for name in "abcd")))
    assert text.count("<p>Rows are independent.</p>") == 1
    assert text.count("<dt><bdi>Reason for doubt</bdi></dt><dd><bdi>Rows are independent.</bdi></dd>") == 4


@pytest.mark.parametrize(
    ("subject", "fields", "folded"),
    [
        ("a", {}, False),
        ("a", {"found": False, "severity": "none"}, True),
        ("a", {"severity": "none"}, True),
        ("all", {"severity": "none"}, False),
        ("all", {"found": False, "severity": "none"}, True),
    ],
)
def test_a_finding_without_concern_is_its_sentence_with_the_rest_folded_unless_it_tells_what_was_found_in_all(
    subject, fields, folded
):
    page = Page(html.render(Report({}, (finding(subject, **fields),))))
    (article,) = page.all("article")
    assert ("folded" in article["class"].split()) == folded


def test_the_page_says_three_things_first_each_of_another_audit_with_what_would_mend_it():
    told = tuple(
        finding(f"{audit}{place}", audit=audit, severity="serious", mitigation=f"Mend {audit}{place}.")
        for audit in "abcd"
        for place in range(3)
    )
    text = Page(html.render(Report({}, told))).text
    first, _, further = text.partition("At a glance")[0].partition("9 more that need attention")
    assert [f"Of {name}." in first for name in ("a0", "b0", "c0", "d0", "a1")] == [True, True, True, False, False]
    assert "Mend a0." in first
    assert "Of d2." in further


def test_a_chart_that_two_findings_share_is_drawn_once():
    table = {"kind": "table", "title": "Shared", "columns": ["a"], "rows": [["told"]]}
    page = Page(html.render(Report({}, (finding("a", evidence=(table,)), finding("b", evidence=(table,))))))
    assert len([each for each in page.all("table") if each["class"] == "plain"]) == 1
    assert "Shared: shown above." in page.text
    assert {"href": "#toy-a"} in page.all("a")


def test_an_example_without_a_picture_is_named_and_leaves_no_empty_box(rich):
    items = [{"id": id, "caption": "seen"} for id in (*list(rich.images)[:1], "lost.jpg")]
    shown = finding("a", evidence=({"kind": "examples", "title": "Some", "items": items},))
    page = Page(html.render(Report({}, (shown,), (), rich.images)))
    assert "Without a picture here: lost.jpg." in page.text
    assert not any("missing" in each.get("class", "") for _, each in page.elements)


def test_a_place_that_is_meant_is_framed(rich):
    items = [{"id": next(iter(rich.images)), "caption": "seen", "box": [0.0, 0.25, 0.5, 1.0]}]
    shown = finding("a", evidence=({"kind": "examples", "title": "Some", "items": items},))
    page = Page(html.render(Report({}, (shown,), (), rich.images)))
    frames = [each for each in page.all("rect") if each.get("class", "").startswith("frame")]
    (window,) = (each["viewbox"].split() for each in page.all("svg") if each.get("class") == "picture")
    left, top, width, height = map(float, window)
    assert len(frames) == 2
    assert [float(frames[0][name]) for name in ("x", "y", "width", "height")] == [
        left + width / 4, top, width * 3 / 4, height / 2
    ]  # fmt: skip


def test_what_was_made_is_told_in_words():
    facts = {"tables": {"intervention(count=9, intervention=fog)": "9 images seen, 0.1 s"}}
    text = Page(html.render(Report(facts, ()))).text
    assert "Images changed on purpose: fog" in text
    assert "intervention(" not in text


def test_evidence_that_cannot_be_drawn_leaves_a_note_in_its_place():
    text = Page(html.render(Report({}, (finding("a", evidence=({"kind": "hologram", "title": "H"},)),)))).text
    assert "H is not drawn: this report knows no evidence of the kind 'hologram'. It stands in findings.json." in text


def test_a_report_on_50000_images_stays_under_five_megabytes_and_keeps_every_finding():
    random = np.random.default_rng(0)
    names = [f"photos/class {place % 100}/image {place}.jpg" for place in range(50_000)]
    kept = [random.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(40)]
    images = {name: kept[place % 40] for place, name in enumerate(names)}
    items = [{"id": name, "caption": "said 'a', labelled 'b'"} for name in names]
    findings = tuple(
        finding(
            f"class {place}",
            severity="serious" if place < 5 else "minor",
            examples=tuple(names[place * 24 : place * 24 + 24]) if place else tuple(names),
            evidence=({"kind": "examples", "title": "All", "items": items if not place else items[place * 24 :][:24]},),
        )
        for place in range(100)
    )
    text = html.render(Report({"name": "large"}, findings, (), images))
    assert len(text.encode()) <= html.LARGEST
    page = Page(text)
    assert len(page.all("article")) == 100
    assert "left out, so that this file stays under 5 MB. Every finding is here." in page.text
    assert len([each for each in page.all("svg") if each.get("class") == "picture"]) > 100
    assert [each["id"] for each in page.twin()["findings"]] == [each.id for each in findings]


def test_where_even_the_charts_are_too_much_the_findings_stay():
    wide = {"kind": "table", "columns": list("abcdefghijkl"), "rows": [["y" * 150] * 12] * 60}
    told = (finding(str(place), evidence=({**wide, "title": f"T{place}"},)) for place in range(60))
    text = html.render(Report({}, tuple(told)))
    assert len(text.encode()) <= html.LARGEST
    assert text.count("<article") == 60
    assert "charts are left out" in text


def test_a_framed_page_keeps_to_itself(page, rich):
    frame = html.framed(rich)
    (attributes,) = Page(frame).all("iframe")
    assert attributes["sandbox"] == ""
    assert attributes["srcdoc"] == page.source
    assert "<script" not in frame
    assert escaping.escape("<h1>") in frame
