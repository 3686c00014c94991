"""Random command lines: keys, flags and odd values, for all programs. None may end in a traceback or hang."""

from __future__ import annotations

import random
from collections.abc import Iterator

PROGRAMS = ("train", "inference", "search", "report", "data", "mlp", "profile", "runs")
WEIGHTS = (40, 12, 5, 6, 3, 4, 1, 8)

FLAGS = (
    "-d", "--dataset", "-e", "-b", "-l", "-o", "-lr", "-wd", "-w_d", "-nhl", "-sz", "--hidden_layers", "-a", "-w_i",
    "-m", "--momentum", "-beta", "-beta1", "--beta2", "-eps", "-wp", "-we", "--no_wandb", "-mp", "-msp",
    "--config_path", "--config_save_path", "-s", "--val_split", "--allow", "--plots", "--robustness",
)  # fmt: skip
SWITCHES = (
    "--cfg", "-c", "--info", "-i", "--package", "-p", "--resolve", "--run", "-r", "--config-dir", "-cd", "-cp",
    "--config-name", "-cn", "--experimental-rerun", "-sc", "--shell-completion", "--hydra-help", "--version",
    "--help",
)  # fmt: skip
GROUPS = (
    "dataset", "augment", "model", "activation", "init", "normalization", "loss", "optimizer", "schedule",
    "training", "tracker", "search", "experiment", "search/space", "hydra/launcher", "hydra/sweeper",
    "hydra/job_logging",
)  # fmt: skip
KEYS = (
    "seed", "resume", "plots", "save.model_path", "save.config_path", "optimizer_options.beta1",
    "optimizer_options.momentum",
    "model.hidden_sizes", "model.num_layers", "model.dropout", "model.activations", "model.dtype", "model._target_",
    "training.batch_size", "training.monitor", "training.patience", "training.checkpoint_every",
    "training.callbacks", "training.max_grad_norm", "training.ema_decay", "training.class_weight",
    "training.gradient_norm_every", "optimizer.learning_rate", "optimizer.beta1", "optimizer.epsilon",
    "optimizer._target_", "optimizer.decoupled", "dataset.path", "dataset.validation_fraction", "dataset.data_dir",
    "dataset._target_", "dataset.test_fraction", "loss.label_smoothing", "loss._target_", "activation._target_",
    "activation.negative_slope", "schedule.warmup", "augment.steps", "augment._target_", "tracker._target_",
    "tracker.project", "hydra.run.dir", "hydra.searchpath", "hydra.job.name", "hydra.job.chdir",
    "hydra.output_subdir", "hydra.mode", "hydra.verbose", "hydra.sweep.dir", "search.name", "search.trials",
    "search.storage", "search.workers", "search.sampler", "search.objectives", "choices", "choices.optimizer", "",
    ".", "a", "a.b.c", "optimizer.", ".optimizer", "optimizer..beta1", "\xfc", "0", "optimizer@x", "optimizer@:y",
    "tracker@a.b", "hydra", "hydra.job", "defaults", "_target_", "__class__",
)  # fmt: skip
OPTIONS = (
    "adam", "sgd", "nag", "relu", "tanh", "digits", "mnist", "csv", "npz", "folder", "cifar10", "mlp", "xavier",
    "none", "cosine", "wandb", "tensorboard", "several", "compose", "mixup", "default", "grid", "tpe", "batch_norm",
    "best_mnist",
)  # fmt: skip
ODD = (
    "", " ", "''", '""', "'", '"', "null", "true", "FALSE", "nan", "inf", "-inf", "-0.0", "1e400", "-1e400",
    "1e-400", "0", "-1", "1", "2", "1.5", "0x10", "1_000", "1000000", "10000000000000000000000", "9" * 5000,
    "\u0663", "x" * 300, "[]", "[-1]", "[1.5]", "[[]]", "[1,2]", "[a,b]", "[null]", "[,]", "{}", "{a:1}",
    "{a:{b:[1]}}", "{", "]", "(", ")", "int(3)", "float(x)", "str([1])", "bool(2)", "choice(a,b)", "choice()",
    "range(1,3)", "range(0,1e9)", "glob(*)", "interval(0,1)", "sort(3,1)", "shuffle(1,2)", "tag(a)",
    "extend_list(1)", "cast(1)", "eval(1)", "foo(1)", "int(x)", "a,b", "1,2", ",", "a=b", "=", "==", "a b",
    "my data.npz", "a;b", "$(id)", "`id`", "~", "~/x", "/", "/dev/null", "..", "../x", "/proc/self/mem",
    "no/such/file", "\x1b[31mred", "a\nb", "a\tb", "\\", "\\'", "\xe9", "\U0001f600", "${seed}", "${oc.env:HOME}",
    "${oc.env:NO_SUCH}", "${", "${}", "${a", "${now:}", "${.x}", "${hydra:job.name}", "$", "${oc.decode:x}",
    "${oc.create:{a:1}}", "${oc.select:seed}", "${no.such:1}", "???", "!!python/name:os.system", "&a",
    "mlp.nn.Adam", "mlp.nn.MLP", "mlp.nn", "mlp", "os.system", "numpy.ndarray", "mlp.base.files.Path", "mlp..x",
    "mlp.", "-", "--", "---", "-x", "--no-such", "@", "a@b", "#", "%s", "%", "{0}", "\udce9", "*", "**", "?", "!",
    "|", "<", ">", "job", "hydra", "all", "defaults", "config", "install=bash", "query=bash", "uninstall=bash",
    "-1.0", "+1", "+a=b",
)  # fmt: skip
COMMANDS = {
    "search": ("show", "best", "report", "--top", "--install", "--to"),
    "report": ("run", "augment", "studies", "publish", "--only", "--quick", "--no-run", "--out", "-d", "--project"),
    "data": ("list", "import"),
    "runs": (
        "list",
        "show",
        "compare",
        "verify",
        "page",
        "rm",
        "archive",
        "send",
        "trackio",
        "last",
        "best",
        "outputs",
        "--where",
        "optimizer=adam and val_accuracy>0.9",
        "--sort",
        "--columns",
        "-n",
        "--json",
        "--csv",
        "--in",
        "--plot",
        "--epochs",
        "--out",
        "--yes",
        "--dry-run",
        "--checkpoints",
        "--to",
        "--project",
    ),
    "mlp": ("--version", "--help", "-sc", "trainn", "search", "data", "inference", "report", "runs", "summary"),
}
#: What keeps a training short and to itself.
SHORT = ("-e", "1", "tracker=none", "plots=false", "dataset=digits")


def cases(seed: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Programs and their words, without end."""
    rng = random.Random(seed)
    while True:
        program = rng.choices(PROGRAMS, WEIGHTS)[0]
        words = [word for _ in range(rng.choices((1, 2, 3, 5), (5, 4, 2, 1))[0]) for word in _word(rng, program)]
        if program in ("train", "profile"):
            words = [*SHORT, *words] if rng.random() < 0.5 else [*words, *SHORT]
        elif program == "report" and "studies" in words:
            words.append("--no-run")
        yield program, tuple(word.replace("\0", "") for word in words)


def _value(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(OPTIONS)
    if kind < 0.85:
        return rng.choice(ODD)
    if kind < 0.95:
        return rng.choice(ODD) + rng.choice(ODD)
    return "".join(chr(rng.choice((*range(1, 128), 233, 0x202E, 0x1F600))) for _ in range(rng.randint(1, 12)))


def _word(rng: random.Random, program: str) -> list[str]:
    kind = rng.random()
    if program in COMMANDS and kind < 0.7:
        return [rng.choice(COMMANDS[program])]
    if kind < 0.35:
        flag = rng.choice(FLAGS if kind < 0.25 else SWITCHES)
        values = [_value(rng) for _ in range(rng.choice((0, 1, 1, 1, 2)))]
        return [f"{flag}={_value(rng)}"] if rng.random() < 0.15 else [flag, *values]
    if kind < 0.5:
        return [f"{rng.choice(('', '', '', '+', '++'))}{rng.choice(GROUPS)}={_value(rng)}"]
    if kind < 0.85:
        return [f"{rng.choice(('', '', '', '+', '++'))}{rng.choice(KEYS)}={_value(rng)}"]
    if kind < 0.92:
        key = rng.choice((*GROUPS, *KEYS))
        return [f"~{key}" if rng.random() < 0.5 else f"~{key}={_value(rng)}"]
    return [_value(rng)]
