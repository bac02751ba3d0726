import pytest

from minifast.core.device import defaults
from minifast.text.rules import (
    POSTPROC_RULES,
    PROC_RULES,
    fix_html,
    lowercase,
    replace_all_caps,
    replace_maj,
    replace_rep,
    replace_space,
    replace_wrep,
    rm_useless_spaces,
    spec_add_spaces,
)
from minifast.text.special import TEXT_SPEC_TOK

# what fastai 2.8.12 gives
CASES = [
    (fix_html, "Fish amp; #39;chips#39; <br />xnbsp;&lt;b&gt; \\n a @-@ b 1 @.@ 5 ... <unk>",
     "Fish & 'chips' \nx <b> \n a-b 1.5  … xxunk"),
    (replace_rep, "aaa b!!!! \n\n\n 😀😀😀 ab", " xxrep 3 a  b xxrep 4 !  \n\n\n  xxrep 3 😀  ab"),
    (replace_wrep, "so so so. no no no no yes yes", " xxwrep 3 so . xxwrep 4 no  yes yes"),
    (replace_wrep, "a b c", "a b c"),
    (spec_add_spaces, "a/b#c\\d", "a / b # c \\ d"),
    (rm_useless_spaces, "a  b   c\n  d", "a b c\n d"),
    (replace_all_caps, "I AM NOT Good U.S. A1 É É1", "i xxup am xxup not Good xxup u.s. xxup a1 É É1"),
    (replace_maj, "I Am Good\nYes McDonald", "i xxmaj am xxmaj good\nxxmaj yes McDonald"),
    (lowercase, " ABC d ", "xxbos abc d"),
    (replace_space, "\n a", "\n▁a"),
]


@pytest.mark.parametrize("rule, text, expected", CASES, ids=lambda o: getattr(o, "__name__", ""))
def test_each_rule(rule, text, expected):
    assert rule(text) == expected


def test_all_rules_in_their_order():
    text = "This IS<br />GREAT!!!! so so so  good/bad I'm amp; É"
    for rule in PROC_RULES:
        text = rule(text)
    assert text == "xxbos xxmaj this xxup is\nxxup great xxrep 4 ! xxwrep 3 so good / bad xxmaj i'm & é"
    assert lowercase("A", add_bos=False, add_eos=True) == "a xxeos"


def test_fastai_names_of_the_lists():
    assert defaults.text_proc_rules is PROC_RULES and defaults.text_postproc_rules is POSTPROC_RULES
    assert defaults.text_spec_tok == list(TEXT_SPEC_TOK)
