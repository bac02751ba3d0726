"""What is absent on purpose can be imported, and says what to write."""
import pytest

from minifast.vision.all import Learner, TensorImage, Transform, patch, torch, typedispatch


def test_patch_says_what_to_write():
    with pytest.raises(NotImplementedError, match=r"patch\(shout\).*Learner\.my_method = my_method"):
        @patch
        def shout(self: Learner):
            return "!"


def test_what_patch_suggests_works(monkeypatch):
    monkeypatch.setattr(Learner, "my_method", lambda self: "done", raising=False)
    assert Learner.my_method(None) == "done"


def test_typedispatch_says_what_to_write():
    with pytest.raises(NotImplementedError, match=r"typedispatch\(show_batch\).*one `encodes` for each type"):
        @typedispatch
        def show_batch(x: TensorImage, y):
            return x


def test_what_typedispatch_suggests_works():
    class Negative(Transform):
        def encodes(self, x: TensorImage):
            return 1 - x

        def encodes(self, x: float):            # noqa: F811
            return -x

    f = Negative()
    assert (f(TensorImage(torch.ones(3, 2, 2))) == 0).all() and f(2.0) == -2.0
