"""Trees are read as they are written, the bundled ones are as published, and a tree that can't be is refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kernels.tree_text import bundled, bundled_names, bundled_text, parse
from kernels.trees import Question, Tree, TreeError

PUBLISHED = {  # questions, answers
    "gz2": (11, 37),
    "gz2-votes": (11, 37),
    "gz-decals": (10, 34),
    "gz-hubble": (18, 57),
    "gz-candels": (17, 50),
    "gz-euclid": (12, 44),  # without clumps
}

FIRST = '[[questions]]\nname = "shape"\nanswers = ["smooth", "disk"]\n'


def tree_of(more="", head='name = "mine"\n'):
    return parse(head + FIRST + more, "mine.toml")


def question(name, asked=None, answers='["yes", "no"]'):
    asked = "" if asked is None else f"asked = {asked}\n"
    return f'[[questions]]\nname = "{name}"\n{asked}answers = {answers}\n'


def test_the_example_of_the_docs_is_refused():
    page = (Path(__file__).parents[2] / "docs" / "trees.md").read_text(encoding="utf-8")
    tree = parse(re.search(r"```toml\n(.*?)```", page, re.DOTALL).group(1))
    assert tree.leads == ((), (1,), (0, 3, 4, 5))
    assert tree.columns[3:6] == ("P_BAR_S", "P_BAR_W", "P_NOBAR")
    assert all(f"| `{name}` |" in page for name in PUBLISHED)


def test_a_tree_was_forgotten():
    assert set(bundled_names()) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_bundled_tree_has_not_the_published_size(name):
    tree = bundled(name)
    assert (len(tree.questions), len(tree.columns)) == PUBLISHED[name]
    assert tree.name == name
    assert tree.reference
    assert all(question.text for question in tree.questions)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_question_is_never_reached(name):
    tree = bundled(name)
    reached = {q for q, leads in enumerate(tree.leads) if not leads}
    for _ in tree.questions:
        reached |= {
            q for q, leads in enumerate(tree.leads) if any(tree.question_of[a] in reached for a in leads)
        }
    assert reached == set(range(len(tree.questions)))
    place = {q: tree.order.index(q) for q in reached}
    assert all(place[tree.question_of[a]] < place[q] for q, leads in enumerate(tree.leads) for a in leads)


def test_columns_are_not_the_challenges():
    sizes = (3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6)
    expected = [f"Class{q}.{a}" for q, size in enumerate(sizes, 1) for a in range(1, size + 1)]
    assert list(bundled("gz2").columns) == expected


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("gz2-votes", "t11_arms_number_a36_more_than_4_count"),
        ("gz-decals", "merging_minor-disturbance"),
        ("gz-hubble", "t15_clumps_arrangement_a04_spiral_fraction"),
        ("gz-candels", "t04_clump_configuration_a2_cluster_or_irregular_frac"),
        ("gz-euclid", "smooth-or-featured_featured-or-disk_fraction"),
    ],
)
def test_columns_are_not_the_catalogs(name, column):
    assert column in bundled(name).columns


def test_the_two_trees_of_gz2_differ_in_more_than_columns_and_who_is_asked_for_oddities():
    challenge, catalog = bundled("gz2"), bundled("gz2-votes")
    assert challenge.names == catalog.names
    assert [
        mine.name
        for mine, other in zip(challenge.questions, catalog.questions, strict=True)
        if mine.parents != other.parents
    ] == ["odd"]


def test_names_are_no_columns_of_sql():
    tree = tree_of(question("edge on", '"shape.disk"', '["not-at-all", "a bit"]'))
    assert tree.names[2:] == ("edge_on_not_at_all", "edge_on_a_bit")
    assert tree.columns[2:] == ("edge on_not-at-all", "edge on_a bit")


def test_a_child_may_not_come_before_its_parent():
    tree = parse('name = "mine"\n' + question("bar", '"shape.disk"') + FIRST)
    assert tree.order == (1, 0)
    assert tree.leads == ((3,), ())


def test_a_question_alone_does_not_stand_for_all_its_answers():
    tree = tree_of(question("bar", '"shape.disk"') + question("length", '"bar"'))
    assert tree.questions[2].parents == (("bar", "yes"), ("bar", "no"))


@pytest.mark.parametrize(
    ("head", "more", "columns"),
    [
        ('column = "{question}_{answer}_fraction"', "", ("shape_smooth_fraction", "shape_disk_fraction")),
        ('column = "t{q0:02}_{question}_a{a}"', "", ("t00_shape_a1", "t00_shape_a2")),
        ("", 'column = "Q{q}.{a0}"', ("Q1.0", "Q1.1")),
        ('column = "{answer}"', 'column = "n_{answer}"', ("n_smooth", "n_disk")),
    ],
)
def test_a_pattern_of_columns_is_misread(head, more, columns):
    assert parse(f'name = "mine"\n{head}\n{FIRST}{more}').columns == columns


def test_a_column_of_one_answer_is_ignored():
    tree = tree_of(question("bar", '"shape.disk"', '{yes = "P_BAR", no = "P_NOBAR"}'))
    assert tree.columns == ("shape_smooth", "shape_disk", "P_BAR", "P_NOBAR")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("questions = 1", "no questions"),
        ('name = "x" name = "y"', "mine.toml: "),
        (
            'name = "mine"\n' + FIRST + question("bar", '"disc.yes"'),
            "value 'disc.yes': there is no question 'disc'",
        ),
        ('name = "mine"\n' + FIRST + question("bar", '"shap.disk"'), "Do you mean 'shape'"),
        ('name = "mine"\n' + FIRST + question("bar", '"shape.disc"'), "It has: smooth, disk"),
        ('name = "mine"\n' + FIRST + question("bar", '["shape.disk", "shape"]'), "named twice"),
        ('name = "mine"\n' + FIRST + question("bar", '"bar.yes"'), "circle: bar <- bar"),
        (
            'name = "mine"\n' + FIRST + question("bar", '"arms.yes"') + question("arms", '"bar.no"'),
            "in a circle: bar <- arms <- bar",
        ),
        ('name = "mine"\n' + FIRST + question("shape"), "two questions have the name 'shape'"),
        ('name = "mine"\n' + FIRST + question("a b") + question("a-b"), "two questions have the name 'a_b'"),
        (
            'name = "mine"\n' + FIRST + question("bar", answers='["a b", "a-b"]'),
            "two answers have the name 'bar_a_b'",
        ),
        (
            'name = "mine"\n' + FIRST + question("bar", answers='["yes"]'),
            "1 given. A question has at least two",
        ),
        ('name = "mine"\n' + FIRST + question("Bar"), "'Bar' can't be a question's name"),
        (
            'name = "mine"\n' + FIRST + question("bar", answers='["yes", "no;"]'),
            "'no;' can't be an answer's name",
        ),
        ('name = "mine"\n' + FIRST + question("2nd"), "begins with a digit"),
        ('name = "mine"\ncolumn = "x"\n' + FIRST, "two answers have the column 'x'"),
        ('name = "mine"\ncolumn = "{quest}"\n' + FIRST, "{quest} is not understood"),
        ('name = "mine"\ncolumn = "{a.__class__}"\n' + FIRST, "{a.__class__} is not understood"),
        ('name = "mine"\ncolumn = "{a:999999999}"\n' + FIRST, "not understood"),
        ('name = "mine"\ncolumn = "{"\n' + FIRST, "value '{'"),
        ('name = "mine"\n' + FIRST + "ask = 1", "no key 'ask'. Do you mean 'asked'?"),
        ('nam = "mine"\n' + FIRST, "no key 'nam'. Do you mean 'name'?"),
        (FIRST, "the tree, key name: missing"),
        ('name = "mine"\n' + FIRST + '[[questions]]\nanswers = ["a", "b"]', "question 2, key name: missing"),
        ('name = "mine"\n' + FIRST + '[[questions]]\nname = "bar"', "key answers: write a list"),
        (
            'name = "mine"\n' + FIRST + question("bar", answers="{yes = 1, no = 2}"),
            "key answers: write a list",
        ),
        ('name = "mine"\n' + FIRST + question("bar", "3"), "key asked: write"),
        (
            'name = "mine"\n' + FIRST + question("bar") + question("size", '["shape.disk", "bar.yes"]'),
            "one volunteer can answer both 'shape_disk' and 'bar_yes'",
        ),
    ],
)
def test_a_tree_that_cannot_be_is_taken(text, said):
    with pytest.raises(TreeError) as refused:
        parse(text, "mine.toml")
    assert said in str(refused.value)
    assert str(refused.value).startswith("mine.toml: ")


def test_a_tree_made_in_code_is_not_checked():
    with pytest.raises(TreeError, match="circle"):
        Tree("mine", (Question("bar", ("yes", "no"), (("bar", "no"),)),))


def test_a_tree_that_is_not_there_is_no_clear_error():
    with pytest.raises(TreeError, match="there are: gz-candels"):
        bundled_text("gz3")
