"What the script of Weights & Biases needs of `wandb`, where that is not installed: runs that keep the last value of everything logged."


class Config(dict):
    def update(self, values, allow_val_change=False):
        super().update(values)

    def __getattr__(self, name):
        return self[name]


class Run:
    def __init__(self, project=None, config=None, **kwargs):
        self.id, self.project, self.config, self.summary, self.rows, self.step = "abc", project, Config(config or {}), {}, [], 0

    def define_metric(self, name, **kwargs):
        pass

    def log(self, values, step=None):
        self.rows.append(values)
        self.summary.update(values)


run = config = None


def init(**kwargs):
    global run, config
    run = Run(**kwargs)
    config = run.config
    return run


def log(values, step=None):
    run.log(values, step)


def watch(*args, **kwargs):
    pass


def finish():
    global run
    run = None


class Image:
    def __init__(self, data, caption=None):
        pass
