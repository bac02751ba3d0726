"""fastai's module paths and names: code that was written for fastai runs with `minifast` in the place of `fastai`."""
