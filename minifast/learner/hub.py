"""`push_to_hub` and `from_hub`: exported learners in a repository of Hugging Face, with a model card written from the run."""
import platform
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__
from ..core.messages import plural
from ..core.ranks import is_main
from ..nn.loss_traits import loss_name
from .export import load_learner
from .saving import vocabs_of

if TYPE_CHECKING:
    from .learner import Learner

__all__ = ["from_hub", "model_card", "push_to_hub"]

FILE = "learner.safetensors"        #: name of the exported learner in its repository


def _check_installed() -> None:
    if find_spec("huggingface_hub") is None:
        raise ImportError("push_to_hub and from_hub need huggingface_hub, which is not installed. Write: pip install 'minifast[hub]'")


def model_card(learn: "Learner", repo_id: str) -> str:
    """The README.md of a learner: architecture, data, training, results and versions, as far as the learner knows them.

    Args:
        learn: the learner.
        repo_id: its repository, 'user/name'.
    """
    history = [] if learn.recorder is None else learn.recorder.history
    results = {k: v for k, v in (history[-1] if history else {}).items() if k not in ("fit", "epoch", "time")}
    sizes = [len(dl.dataset) if hasattr(getattr(dl, "dataset", None), "__len__") else None for dl in list(learn.dls)[:2]]
    vocab = vocabs_of(learn.dls).get("target", ())
    rows = {"architecture": f"{type(learn.model).__name__}, {plural(sum(p.numel() for p in learn.model.parameters()), 'parameter')}",
            "training items": sizes[0], "validation items": sizes[1] if len(sizes) > 1 else None,
            "classes": ", ".join(vocab) if 0 < len(vocab) <= 50 else None,
            "loss": learn.loss_func and loss_name(learn.loss_func),
            "epochs": f"{len(history)} in {plural(len({row.get('fit') for row in history}), 'fit')}" if history else "none recorded",
            **{f"last {name}": f"{value:.4g}" if isinstance(value, float) else value for name, value in results.items()},
            "versions": f"minifast {__version__}, torch {torch.__version__}, Python {platform.python_version()}"}
    table = "\n".join(f"| {name} | {str(value).replace('|', '/')} |" for name, value in rows.items() if value is not None)
    return (f"---\nlibrary_name: minifast\ntags:\n- minifast\n---\n\n# {repo_id}\n\n| | |\n| --- | --- |\n{table}\n\n"
            f"```python\nfrom minifast.basics import from_hub\n\nlearn = from_hub({repo_id!r})\nlearn.predict(item)\n```\n\n"
            "The file holds weights and a description; loading it runs no code.\n")


def push_to_hub(learn: "Learner", repo_id: str, private: bool | None = None, token: str | None = None,
                commit_message: str = "Learner of minifast") -> str:
    "See `Learner.push_to_hub`."
    _check_installed()
    if not is_main():
        return ""
    from huggingface_hub import HfApi
    api = HfApi(token=token)
    with TemporaryDirectory() as folder:                                # exported first: what cannot be exported makes no repository
        learn.export(Path(folder).resolve() / FILE)
        (Path(folder) / "README.md").write_text(model_card(learn, repo_id), encoding="utf-8")
        api.create_repo(repo_id, private=private, exist_ok=True)
        return api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=commit_message).commit_url


def from_hub(repo_id: str, revision: str | None = None, cpu: bool = True, objects: Mapping[str, Any] | None = None,
             token: str | None = None) -> "Learner":
    """Load a learner that `Learner.push_to_hub` stored. No code comes from the repository.

    Args:
        repo_id: 'user/name'.
        revision: a branch, tag or commit; None: the newest.
        cpu: see `load_learner`.
        objects: see `load_learner`.
        token: for private repositories; None: that of `hf auth login`.

    Raises:
        ImportError: where huggingface_hub is not installed.
        FileNotFoundError: there is no learner of minifast in the repository.
    """
    _check_installed()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError
    try:
        file = hf_hub_download(repo_id, FILE, revision=revision, token=token)
    except EntryNotFoundError as e:
        raise FileNotFoundError(f"there is no {FILE} in {repo_id}, so it holds no learner that push_to_hub of minifast stored. Of a "
                                "learner of fastai bring the weights over with `minifast port-weights`") from e
    return load_learner(file, cpu, objects)
