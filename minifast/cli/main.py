"""The command line: `minifast demo`, `app`, `doctor`, `launch`, `port` and `port-weights` (also `python -m minifast ...`)."""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def _count(text: str) -> int:
    "The argument type of counts."
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more; received {text!r}")
    return int(text)


def _port(path: Path, check: bool) -> int:
    "Port the files of `path`; 1 where something is absent, 2 where there is no file."
    from ..compat.port import files_of, port_file
    files = files_of(path)
    if not files or not all(f.is_file() for f in files):
        print(f"minifast port: {path} is no Python file or notebook, nor a folder with any", file=sys.stderr)
        return 2
    absent = 0
    for file in files:
        findings = port_file(file, check)
        absent += sum(f.absent for f in findings)
        print(f"{file}: {'nothing to say' if not findings else ''}".rstrip(), *findings, sep="\n    ")
    return 1 if absent else 0


def _port_weights(file: Path, out: Path | None) -> int:
    "Port the weights of `file`; 1 where that is not possible."
    from ..compat.fastai_weights import port_weights
    print("A pickle can run any code when it is loaded the usual way. Of this one only tensors and names are read; none of its code runs.")
    try:
        written, told = port_weights(file, out)
    except (OSError, ValueError) as e:
        print(f"minifast port-weights: {e}", file=sys.stderr)
        return 1
    print(f"{written}: {told}\nMake the data and the learner with minifast, then learn.load({str(written.resolve())!r}, with_opt=False)")
    return 0


#: Options of torchrun that `minifast launch` hands on.
_TORCHRUN = {"nnodes": "how many machines take part (default: 1)", "node-rank": "which of them this is, from 0",
             "master-addr": "address of machine 0", "master-port": "a port of machine 0 that is free (default: 29500)",
             "rdzv-endpoint": "host:port at which the machines meet, instead of --master-addr and --node-rank",
             "rdzv-id": "a name of this job, the same on all machines", "max-restarts": "start all again this many times after a failure"}


#: The applications of `minifast demo`, as in `demo.APPLICATIONS`, which imports more.
_DEMOS = ("vision", "segmentation", "tabular", "collab", "text", "timeseries", "recipe")


def _launch(args: argparse.Namespace) -> int:
    "Run a script in several processes; the exit status is that of the one that failed first, 2 where nothing was started."
    from ..distributed.launcher import launch
    told = [f"--{name}={value}" for name in _TORCHRUN if (value := getattr(args, name.replace("-", "_"))) is not None]
    if args.rdzv_endpoint is not None:
        told.append("--rdzv-backend=c10d")
    try:
        return launch(args.script, args.args, args.nproc, args.timeout, told)
    except (OSError, ValueError) as e:
        print(f"minifast launch: {e}", file=sys.stderr)
        return 2


def main(argv: Sequence[str] | None = None) -> int:
    "Run the command line with `argv` (default: the process's arguments); returns the exit status."
    parser = argparse.ArgumentParser(prog="minifast", description="A layered deep-learning framework on PyTorch.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="train on real handwritten digits, on the data of another application, or on your own, and "
                               "leave pictures, model and report behind")
    demo.add_argument("application", nargs="?", default="vision", help=f"{', '.join(_DEMOS)} (default: %(default)s)")
    for name, metavar, kind, default, text in (
            ("data", "PATH", str, None, "yours: a folder of images per class (vision), with images/ and masks/ (segmentation), or a CSV"),
            ("out", "DIR", str, None, "where to write (default: minifast-demo, but for vision a folder of the application in it)"),
            ("epochs", "N", _count, None, "epochs to train (default: what the data of the demo need, 3 on own images)"),
            ("size", "N", _count, None, "resize images to NxN pixels (default: 32 and 64 for the demos, 128 for own images)"),
            ("seed", "N", int, 42, "seed of everything random (default: %(default)s)"),
            ("weights", "FILE", str, None, "ImageNet weights of resnet18 to fine-tune (.pth or .safetensors)"),
            ("target", "COLUMN", str, None, "the column to predict, of your own CSV file")):
        demo.add_argument(f"--{name}", metavar=metavar, type=kind, default=default, help=text)
    app = commands.add_parser("app", help="open a web page that tries an exported model")
    app.add_argument("file", metavar="FILE", help="what learn.export wrote, such as minifast-demo/model.pkl")
    app.add_argument("--port", metavar="N", type=_count, help="port of the page (default: the first that is free from 7860 on)")
    app.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for other machines (default: %(default)s)")
    commands.add_parser("doctor", help="print versions, devices and caches for a bug report")
    port = commands.add_parser("port", help="rewrite fastai's imports in scripts and notebooks, and name what is different or absent")
    port.add_argument("path", metavar="FILE|DIR", help="a .py or .ipynb file, or a folder of them")
    port.add_argument("--check", action="store_true", help="only report; the exit status is 1 where something is absent")
    weights = commands.add_parser("port-weights", help="write the weights in a fastai pickle or .pth as a file for learn.load; "
                                  "none of the pickle's code runs")
    weights.add_argument("file", metavar="FILE", type=Path, help="a file of fastai's learn.export or learn.save")
    weights.add_argument("--out", metavar="FILE", type=Path, help="what to write (default: beside FILE, with the suffix .safetensors)")
    start = commands.add_parser("launch", help="run a script or notebook in several processes that train together, one for each GPU")
    start.add_argument("--nproc", metavar="N", type=_count, help="processes on this machine (default: one for each GPU, on a CPU one)")
    start.add_argument("--timeout", metavar="S", type=float, help="seconds that a process waits for another (default: 600)")
    for name, text in _TORCHRUN.items():
        start.add_argument(f"--{name}", help=text)
    start.add_argument("script", metavar="FILE.py|FILE.ipynb", help="of a notebook the code cells are run")
    start.add_argument("args", nargs=argparse.REMAINDER, help="what the script finds in sys.argv")
    args, unknown = parser.parse_known_args(argv)
    if args.command == "demo" and args.application not in _DEMOS:
        if not unknown:
            parser.error(f"argument application: invalid choice: {args.application!r} (choose from {', '.join(_DEMOS)})")
        unknown.append(args.application)            # the value of an option that there is not
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if args.command == "launch":
        return _launch(args)
    if args.command == "port-weights":
        return _port_weights(args.file, args.out)
    if args.command == "port":
        return _port(Path(args.path), args.check)
    if args.command == "doctor":
        from .doctor import report
        print(report())
        return 0
    import matplotlib
    matplotlib.use("Agg")              # the plots go to files
    try:
        if args.command == "app":
            from .app import serve
            serve(args.file, args.host, args.port)
        else:
            from .demo import run
            run(args.application, args.data, args.out, args.epochs, args.size, args.seed, args.weights, args.target)
    except (ImportError, OSError, ValueError) as e:
        if isinstance(e, ImportError) and args.command == "demo":
            raise                       # a mistake of ours
        print(f"minifast {args.command}: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
