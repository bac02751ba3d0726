"""When tokens that were kept are those that would be made: digests of tokenizers."""
from types import SimpleNamespace

import pytest

from minifast.text import identity
from minifast.text.all import SpacyTokenizer, SubwordTokenizer, TokenizeWithRules, WordTokenizer


@pytest.mark.parametrize(("tokenizer", "library"), [(SubwordTokenizer, "tokenizers"), (SpacyTokenizer, "spacy")])
@pytest.mark.filterwarnings("ignore:spaCy is not installed")
def test_another_version_of_the_library_makes_new_tokens(monkeypatch, tokenizer, library):
    whole, digests = TokenizeWithRules(tokenizer()), []
    for number in ("1.0", "1.0", "2.0", None):
        def version(package, number=number):
            if package == library and number is None:
                raise identity.PackageNotFoundError(package)
            return number if package == library else "7"

        monkeypatch.setattr(identity, "version", version)
        digests.append(identity.identity_of(whole))
    assert digests[0] == digests[1] is not None and len(set(digests)) == 3, "another version, and none"


def test_another_version_of_python_makes_new_tokens(monkeypatch):
    whole = TokenizeWithRules(WordTokenizer())
    before = identity.identity_of(whole)
    monkeypatch.setattr(identity, "sys", SimpleNamespace(version_info=SimpleNamespace(major=3, minor=99)))
    assert before is not None and identity.identity_of(whole) != before
