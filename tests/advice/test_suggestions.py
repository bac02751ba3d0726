"Every suggestion of a message is followed by a test in the entry point that makes it (`told` in `suggestions.py`)."
import re

from suggestions import CODE, GAP, followed, followed_in, suggestions, suggests, texts, texts_in


def names_in(code):
    "The names of calls and keyword arguments, and the words in backticks, of a text."
    return set(re.findall(r"(\w+)(?:=(?!=)|\()", code)) | {w for piece in re.findall(r"`([^`]*)`", code) for w in re.findall(r"\w+", piece)}


def test_every_suggestion_is_followed():
    tests = followed()
    left = [s for s in suggestions() if not any(t.file == s.file and t.words.strip(GAP) in s.text for t in tests)]
    shown = "\n".join(f"{s.file}:{s.line}: {s.text}" for s in left)
    assert not left, f"{len(left)} of {len(suggestions())} suggestions are followed by no test:\n{shown}"


def test_tests_meet_messages_that_stand_there():
    "A test that names words of no message, or that does nothing of what they say, shows nothing."
    for t in followed():
        said = [s for s in texts() if s.file == t.file and t.words.strip(GAP) in s.text]
        assert said, f"{t.test}: no text of {t.file} has the words {t.words!r}"
        names = set().union(*(names_in(s.text) for s in said))
        done = not names or names & set(re.findall(r"\w+", t.code)) or any(GAP in s.text for s in said)
        assert t.follows and done, f"{t.test}: after {t.words!r} the test does nothing of what it says: {sorted(names)}"


def test_the_census_sees_what_it_should():
    source = '''
def f(x):
    "Give f(x=1): a docstring is no message."
    if x:
        raise ValueError(f"x is {x}: give " "f(x=2)")
    re.sub("give(?=f[(]x)", "", "a pattern is no message")
    return "nothing here" if x else "use g(x) instead"
'''
    assert [s.text for s in texts_in(source, "a.py") if suggests(s.text)] == [f"x is {GAP}: give f(x=2)", "use g(x) instead"]
    test = "def test():\n    with told('a.py', 'use g(x)'):\n        f(0)\n    g(0)\n"
    assert [(f.words, f.follows) for f in followed_in(test, "t.py")] == [("use g(x)", "g(0)")]
    assert CODE.search("cmap=") and not CODE.search("a == b")
