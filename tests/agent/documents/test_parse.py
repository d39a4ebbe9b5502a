"""YAML 1.2 scalars, marks, bounds, and syntax errors with their place."""

import pytest

from tidegate.documents import DocumentError, Mark, parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18:00", "18:00"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("on", "on"),
        ("no", "no"),
        ("2026-06-01", "2026-06-01"),
        ("<<", "<<"),
        ("true", True),
        ("FALSE", False),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1.5", 1.5),
        ("5e3", 5000.0),
        ("-.inf", float("-inf")),
        ("'7'", "7"),
        ("80 C", "80 C"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    parsed = parse(f"a: {text}", "x.yaml").value["a"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_every_key_and_value_has_its_mark():
    document = parse("a:\n  - b: 80 C\n    c: [1, 'two']\n", "x.yaml")
    assert document.value == {"a": [{"b": "80 C", "c": [1, "two"]}]}
    assert document.key_marks[("a", 0, "c")] == Mark(3, 5, 1)
    assert document.marks[("a", 0, "b")] == Mark(2, 8, 4)
    assert document.marks[("a", 0, "c", 1)] == Mark(3, 12, 5)


@pytest.mark.parametrize(
    ("text", "first_line"),
    [
        ("", "x.yaml:1:1: the document is empty"),
        ("# nothing\n", "x.yaml:1:1: the document is empty"),
        ("a: [1,\nb: 2", "x.yaml:1:4: `[` is not closed"),
        ("a: 'open", "x.yaml:1:4: a quote that is never closed"),
        ("a: 1\n\tb: 2", "x.yaml:2:1: a tab where YAML allows only spaces"),
        ("a: &x 1", "x.yaml:1:4: anchors and aliases are not allowed"),
        ("a: *x", "x.yaml:1:4: anchors and aliases are not allowed"),
        ("a: !!python/object:os.system 1", "x.yaml:1:4: tags are not allowed"),
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1: a: duplicate key, first on line 1"),
        ("? [1]\n: 2", "x.yaml:1:3: a key must be a word, not a list or mapping"),
        ("a:\n  b:\n", "x.yaml:2:3: a.b: no value"),
        ("a: ~", "x.yaml:1:4: a: no value"),
        ("a: 1\n---\nb: 2", "x.yaml:2:1: a second document; a file holds one"),
        ("a: b\x00c", "x.yaml:1:5: a character that YAML does not allow"),
        ("\U0001f600: '\x85\x07'", "x.yaml:2:1: a character that YAML does not allow"),
        ('a: "\\UFFFFFFFF"', "x.yaml:1:7: not a valid character or number in YAML"),
        ('a: "\\uD800"', "x.yaml:1:4: a: the text holds half a character"),
        ("a: " + "9" * 5000, "x.yaml:1:4: a: a number with too many digits"),
        ("a: " + "[" * 40, "x.yaml:1:35: nested deeper than 32 levels"),
        ("a: [" + "1," * 25_000, "x.yaml:1:39999: more than 20000 keys and values"),
        ("a" * 70_000, "x.yaml:1:1: the document is too long"),
    ],
)
def test_what_is_refused_and_where(text, first_line):
    with pytest.raises(DocumentError) as caught:
        parse(text, "x.yaml")
    assert str(caught.value).splitlines()[0] == first_line


def test_a_billion_laughs_is_refused_at_its_first_anchor():
    text = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
    with pytest.raises(DocumentError, match=r"1:4: anchors and aliases"):
        parse(text, "x.yaml")


def test_an_endless_line_is_shown_around_the_place():
    with pytest.raises(DocumentError) as caught:
        parse("a: [" + "x, " * 2000 + "*y]", "x.yaml")
    shown = str(caught.value).splitlines()
    assert max(map(len, shown)) < 140
    assert shown[1][shown[2].index("^")] == "*"


def test_read_says_why_a_file_has_no_text(tmp_path):
    with pytest.raises(DocumentError, match=r"gone\.yaml: can't be read: No such file"):
        read(tmp_path / "gone.yaml")
    with pytest.raises(DocumentError, match="can't be read: Is a directory"):
        read(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(DocumentError, match=r"latin\.yaml:2:4: not UTF-8\n +found: byte 0xFF"):
        read(tmp_path / "latin.yaml")


def test_nothing_of_a_private_key_is_shown(tmp_path):
    (tmp_path / "x.yaml").write_text("# mine\n-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n")
    with pytest.raises(DocumentError, match="a private key") as caught:
        read(tmp_path / "x.yaml")
    assert "c2Vj" not in str(caught.value)


def test_a_file_that_is_far_too_long_is_not_read_to_its_end(tmp_path):
    (tmp_path / "long.yaml").write_bytes("a: \N{SNOWMAN}".encode() * 60_000)
    with pytest.raises(DocumentError, match=r"long\.yaml:1:1: the document is too long\n +allowed: at most 65536"):
        read(tmp_path / "long.yaml")
