"""Jupyter kernels for tests, without the seconds in which their libraries are imported: forked from the server of `fresh_process`."""
import contextlib
from unittest.mock import patch

import fresh_process

INLINE = "module://matplotlib_inline.backend_inline"        # a kernel's choice where nobody made one
KERNEL = "from ipykernel.kernelapp import launch_new_instance\nlaunch_new_instance()"


def launch(cmd, *, env, cwd=None, **options):
    "As `jupyter_client.launcher.launch_kernel`; `cmd` is `python -m ipykernel_launcher` with its arguments."
    assert cmd[1:3] == ["-m", "ipykernel_launcher"], cmd
    return fresh_process.start(KERNEL, *cmd[3:], env={"MPLBACKEND": INLINE, **env}, cwd=cwd, new_session=True)


@contextlib.contextmanager
def forked():
    "In this block, kernels are forked."
    with patch("jupyter_client.provisioning.local_provisioner.launch_kernel", launch):
        yield
