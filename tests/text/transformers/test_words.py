"""Labels of words to targets of tokens and back, one to one."""
import pytest
import torch

from minifast.text.transformers.words import CUT, AlignWords, WordLabels, is_first, of_words

WORDS = torch.tensor([-1, 0, 1, 1, 1, 2, -1])       # [CLS] the un ##believ ##able film [SEP]


def test_the_first_token_of_a_word_has_its_label_and_no_other():
    x, y = AlignWords().encodes(({"word_ids": WORDS}, torch.tensor([5, 6, 7])))
    assert y.tolist() == [-100, 5, 6, -100, -100, 7, -100] and x["word_ids"] is WORDS
    assert is_first(WORDS).tolist() == [False, True, True, False, False, True, False]


def test_what_is_predicted_for_tokens_is_read_at_the_first_one_of_each_word():
    _, y = AlignWords().decodes(({"word_ids": WORDS}, torch.tensor([9, 5, 6, 9, 9, 7, 9])))
    assert y.tolist() == [5, 6, 7]
    assert of_words(torch.eye(7), WORDS).tolist() == torch.eye(7)[[1, 2, 5]].tolist()


def test_words_without_a_token_have_no_prediction():
    assert of_words(torch.tensor([4, 3, 2]), torch.tensor([-1, 0, 2])).tolist() == [3, -100, 2]
    assert list(WordLabels(["a", "b"]).decodes(torch.tensor([1, -100]))) == ["b", CUT]


def test_a_text_cut_short_keeps_the_labels_of_what_is_left():
    _, y = AlignWords().encodes(({"word_ids": torch.tensor([-1, 0, -1])}, torch.tensor([5, 6, 7])))
    assert y.tolist() == [-100, 5, -100]


def test_words_and_labels_of_other_numbers_are_refused():
    with pytest.raises(ValueError, match="at least 3 words has 2 labels: give one each"):
        AlignWords().encodes(({"word_ids": WORDS}, torch.tensor([5, 6])))
    AlignWords().encodes(({"word_ids": WORDS}, torch.tensor([5, 6, 7])))
