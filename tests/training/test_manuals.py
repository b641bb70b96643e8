"""Questions from manuals of programming languages, on a few made-up pages of each kind."""

import random
import time

import pytest

from training.weak import html_pages, manuals, pod
from training.weak.asking import Section, entry_of, question, usable
from training.weak.rows import Entry, rows_of

LONG = "It does so for every file below a folder, and tells in the end how many there were of them. " * 4


def questions(summary):
    return {question(summary, random.Random(n)) for n in range(200)}


def test_a_summary_that_opens_with_a_verb_is_asked_in_five_wordings():
    assert questions("Sort the lines of a file.") == {
        "How do I sort the lines of a file?",
        "How can I sort the lines of a file?",
        "how to sort the lines of a file",
        "I want to sort the lines of a file. How?",
        "What do I use to sort the lines of a file?",
    }


def test_what_is_returned_is_what_a_person_wants_to_get():
    asked = questions("Return the zeros of the spline")
    assert "How do I get the zeros of the spline?" in asked
    assert not any("return" in one for one in asked)
    assert "how to tell whether it is empty" in questions("Returns True if it is empty.")


@pytest.mark.parametrize(
    ("summary", "asked"),
    [
        ("Copies A file", "how to copy a file"),  # the article opened the sentence before
        ("Applies :func:`f` to *all* of ``a``", "how to apply f to all of a"),
        ("Multiply a * b * c.", None),
        ("Compute a * b", "how to compute a * b"),
        ("Count words. An empty text has none.", "how to count words"),
        ("The zeros of the spline", None),
        ("Sort.", None),
        ("", None),
    ],
)
def test_a_summary_loses_markup_and_further_sentences_and_without_a_verb_asks_nothing(summary, asked):
    assert asked in questions(summary)


def entries_of(*section):
    return [entry_of(Section(*section), random.Random(n)) for n in range(60)]


def test_a_section_is_asked_by_its_verb_and_may_keep_or_lose_that_sentence():
    found = entries_of("spline.roots", f"Return the zeros of a spline. {LONG}".strip(), True)
    assert {one.passage for one in found} == {
        LONG.strip(),
        f"Return the zeros of a spline. {LONG}".strip(),
    }
    assert {one.title for one in found} == {"spline.roots"}
    assert all("the zeros of a spline" in one.query for one in found)


def test_a_section_without_a_verb_is_asked_by_its_heading_or_at_times_its_first_sentence():
    text = f"The counter has a state of its own. {LONG}".strip()
    found = entries_of("How counting works", text)
    assert {one.query for one in found} == {"How counting works", "The counter has a state of its own"}
    assert {one.query for one in found if one.passage == text} == {"How counting works"}
    named = entries_of("counter_of_files", text, True)
    assert {one and one.query for one in named} == {None, "The counter has a state of its own"}


def test_a_heading_that_is_a_question_stays_it():
    [entry] = set(entries_of("Is it (ever) sorted?", f"Sort the lines of the file first. {LONG}"))
    assert entry.query == "Is it (ever) sorted?"


@pytest.mark.parametrize(
    ("query", "title", "passage"),
    [
        ("Source code for package.module", "", LONG),
        ("how to count the files", "CONTRIBUTORS", LONG),
        ("how to count the files", "", f"{LONG} a@b.org, c@d.org, e@f.org, g@h.org"),
        ("how to count the files", "", f"This is a nightly-only experimental API. {LONG}"),
        ("how to count the files", "", "Short."),
        ("two words", "", LONG),
    ],
)
def test_listings_people_unstable_interfaces_and_what_is_short_are_left_out(query, title, passage):
    assert not usable(Entry(query, passage, title))
    assert usable(Entry("how to count the files", LONG, "files"))


POD = rf"""=head1 NAME

perlfaq0 - a page

=head2 How do I X<count>count C<< $folder->{{files}} >>?

Use L<the counter|perlcount/All> B<I<now>>, where 1 E<lt> 2.

=over 4

=item count FOLDER

Count the files of a folder. {LONG}

=item *

{LONG}

=back

=cut
"""


def test_pod_is_read_without_its_codes():
    _, asked, item, bullet = pod.sections(POD)
    assert asked == Section(
        "How do I count $folder->{files}?", "Use the counter now, where 1 < 2.", item=False
    )
    assert (item.heading, item.item) == ("count FOLDER", True)
    assert (bullet.heading, bullet.text) == ("", LONG.strip())


def test_sphinx_pages_give_what_they_document_and_sections_without_signatures():
    page = manuals.shown(
        '<h1>Counting files well<a class="headerlink" href="#c">¶</a></h1><p>Text <b>one</b>.</p>'
        '<dl><dt class="sig sig-object py" id="c"><span>count</span>(<em>folder</em>)<a>[source]</a></dt>'
        f"<dd><p>Count the <code>files</code>.</p><p>{LONG}</p></dd></dl>"
    )
    documented, section = manuals.sphinx(page)
    assert documented == Section("count", f"Count the files. {LONG}".strip(), item=True)
    assert section.heading == "Counting files well"
    assert section.text.startswith("Text one. Count the files.")


def test_rust_pages_give_an_item_and_its_methods_and_books_their_sections():
    page = (
        '<body class="rustdoc struct"><title>Bag in std::bags - Rust</title>'
        '<div class="docblock"><p>A bag.</p></div>'
        '<h4 class="code-header">pub fn bare(self)</h4>'
        '<h4 class="code-header">pub fn <a>len</a>(&amp;self)</h4><div class="docblock">The length.</div>'
    )
    found = [(one.heading, one.text) for one in manuals.rust(manuals.shown(page))]
    assert found == [("Bag", "A bag."), ("Bag::len", "The length.")]
    [section] = manuals.rust("<h2>Counting files well</h2>Text")
    assert section == Section("Counting files well", "Text")


def test_cppreference_pages_give_what_stands_below_the_signatures():
    page = "<title>std::count - cppreference.com</title><table></table>\n<p>Counts.</p><h3>Parameters</h3>"
    assert list(manuals.cppreference(page)) == [Section("std::count", "Counts.", item=True)]


def test_texinfo_pages_give_their_functions():
    page = (
        "<h2>1.2 Counting</h2><dl><dt>: <var>n</var> = <strong>count</strong> (x)</dt><dd>Count x.</dd></dl>"
    )
    _, function = manuals.texinfo(manuals.shown(page))
    assert function == Section("n = count (x)", "Count x.", item=True)


def test_a_number_in_front_of_a_heading_goes_and_a_word_in_capitals_stays():
    headings = [
        "2.1. Files",
        "3 Files",
        "Chapter 5. Files",
        "Appendix B. Files",
        "F.3. Files",
        "1.&nbsp;Files",
    ]
    headings += ["SQL Files", "A Files"]
    page = "".join(f"<h2>{one}</h2>{LONG}" for one in headings)
    assert [one for one, _ in html_pages.sections(page)] == ["Files"] * 6 + ["SQL Files", "A Files"]


def page_of(folder, name, *sections):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"<h2>{heading}</h2><p>{text}</p>" for heading, text in sections))


def test_each_package_has_its_most_and_no_question_or_passage_comes_twice(tmp_path):
    few = (manuals.Manual("git-doc", 3), manuals.Manual("sqlite3-doc", 9))
    told = [(f"Counting all files {n}", LONG.replace("It", f"It, {n},")) for n in range(8)]
    page_of(tmp_path / "git-doc", "doc/a.html", *told)
    page_of(tmp_path / "git-doc", "doc/genindex.html", *told)
    page_of(tmp_path / "sqlite3-doc", "doc/a.html", *told, ("And another one", told[0][1]))
    documented = {"a:count": {"en": Entry("Count the words", f"More. {LONG}", "count")}}
    documented |= {"a:words": {"en": Entry("The words", f"Much more. {LONG}")}}
    found = manuals.entries(tmp_path, documented, random.Random(0), few)
    packages = [key.partition("/")[0] for key in found]
    assert packages.count("git-doc") == 3
    assert packages.count("sqlite3-doc") == 5  # the rest were git's already
    assert not [key for key in found if "genindex" in key]
    assert "the words" not in {by["en"].query.lower() for by in found.values()}
    assert "count the words" in found["a:count"]["en"].query.lower()
    rows = list(rows_of("manuals", found, random.Random(0), len(found)))
    assert len(rows) == len(found) == 9


@pytest.mark.parametrize(
    "piece", ['<dt class="sig">x', "<h2>x", "<script>x", "<a b", '<h4 class="code-header">fn x']
)
def test_a_huge_page_that_is_never_closed_takes_no_minutes(tmp_path, piece):
    file = tmp_path / "some-doc" / "a.html"
    file.parent.mkdir()
    file.write_text('<body class="rustdoc">' + piece * (1_000_000 // len(piece)))
    began = time.monotonic()
    for read in (manuals.sphinx, manuals.rust, manuals.cppreference, manuals.texinfo):
        assert not list(manuals.told_by(manuals.Manual("some-doc", 9, read), file.parent, random.Random(0)))
    assert time.monotonic() - began < 60
