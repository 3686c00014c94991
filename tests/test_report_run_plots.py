"""The plots of a run show what its files say."""

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from made_predictions import overhang, predictions
from made_runs import make_run
from matplotlib.figure import Figure
from matplotlib.image import imread
from test_model_file_hostile import Calls

from mlp.base.errors import UserError
from mlp.report import run_plots
from mlp.report.__main__ import main
from mlp.report.figures.curves import curves
from mlp.report.read import read_facts, read_metrics

PREDICTION_PLOTS = [
    "confusion_counts.png",
    "confusion_normalised.png",
    "per_class.png",
    "reliability.png",
    "samples.png",
]

Arrays = Mapping[str, np.ndarray]


def metrics_csv(epochs: int = 5, layers: int = 3, validation: bool = True) -> str:
    rng = np.random.default_rng(0)
    names = "epoch,step,learning_rate,train_loss,train_accuracy,train_f1,val_loss,val_accuracy,val_f1"
    norms = [f"grad_norm_{i}" for i in range(1, layers + 1)]
    lines = [",".join([names, "grad_norm", *norms, "seconds", "samples_per_second"])]
    for epoch in range(1, epochs + 1):
        values = [repr(float(x)) for x in rng.uniform(0.01, 1, 10 + layers)]
        if not validation:
            values[4:7] = ["", "", ""]
        lines.append(",".join([str(epoch), str(epoch * 100), *values]))
    return "\n".join(lines) + "\n"


def write_run(run_dir: Path, table: str | None = None, arrays: Arrays | None = None) -> Path:
    if table is not None:
        (run_dir / "metrics.csv").write_text(table)
    if arrays is not None:
        np.savez(run_dir / "predictions.npz", **arrays)
    return run_dir


def read(tmp_path: Path, table: str) -> dict[str, np.ndarray]:
    return read_metrics(write_run(tmp_path, table) / "metrics.csv")


def lines_of(figure: Figure) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_xydata()) for ax in figure.axes for line in ax.lines}


# The curves


def test_every_line_of_the_curves_is_a_column_of_the_file(tmp_path):
    table = metrics_csv()
    drawn = lines_of(curves(read(tmp_path, table), {}))
    rows = list(csv.DictReader(table.splitlines()))
    label_of = {
        "train_loss": "training", "val_loss": "validation", "train_accuracy": "training accuracy",
        "train_f1": "training F1", "val_accuracy": "validation accuracy", "val_f1": "validation F1",
        "learning_rate": "learning rate", "grad_norm": "all layers", "grad_norm_1": "layer 1 (first hidden)",
        "grad_norm_2": "layer 2", "grad_norm_3": "layer 3 (output)",
    }  # fmt: skip
    assert set(drawn) == set(label_of.values())
    for column, label in label_of.items():
        assert drawn[label].tolist() == [[float(row["epoch"]), float(row[column])] for row in rows]


def test_the_best_epoch_is_marked_in_all_four_panels(tmp_path):
    figure = curves(read(tmp_path, metrics_csv()), {"best_epoch": 3})
    marks = [line for ax in figure.axes for line in ax.lines if list(line.get_xdata()) == [3, 3]]
    assert len(marks) == 4
    assert "best epoch 3" in figure.get_suptitle()


def test_a_constant_learning_rate_has_no_panel(tmp_path):
    metrics = read(tmp_path, metrics_csv())
    metrics["learning_rate"][:] = 0.01
    figure = curves(metrics, {"dataset": "digits"})
    assert [ax.get_title("left") for ax in figure.axes] == ["Loss", "Accuracy and F1", "Gradient norm per layer"]
    assert figure.get_suptitle() == "digits, learning rate 0.01"
    assert overhang(figure) == 0


@pytest.mark.parametrize("best", [None, 99, "3"])
def test_a_best_epoch_that_is_not_among_the_epochs_is_not_marked(tmp_path, best):
    figure = curves(read(tmp_path, metrics_csv()), {"best_epoch": best})
    assert "best" not in figure.get_suptitle()


def test_a_last_epoch_that_was_kept_unmeasured_is_not_called_the_best(tmp_path):
    facts = {"best_epoch": 3, "selected_by": "last epoch"}
    figure = curves(read(tmp_path, metrics_csv(validation=False)), facts)
    assert not [line for ax in figure.axes for line in ax.lines if list(line.get_xdata()) == [3, 3]]
    assert "best" not in figure.get_suptitle()


def test_the_title_gives_dataset_and_test_scores(tmp_path):
    (tmp_path / "best_config.json").write_text('{"dataset": "mnist", "best_epoch": 1}')
    (tmp_path / "summary.json").write_text('{"best_epoch": 2, "test_accuracy": 0.9731, "test_f1": null}')
    figure = curves(read(tmp_path, metrics_csv()), read_facts(tmp_path))
    assert figure.get_suptitle() == "mnist, best epoch 2 (dotted line), test accuracy 97.31 %"


@pytest.mark.parametrize("epochs", [1, 2, 200])
def test_without_a_validation_part_no_validation_line_is_drawn(tmp_path, epochs):
    figure = curves(read(tmp_path, metrics_csv(epochs, validation=False)), {"best_epoch": 1})
    assert not [label for label in lines_of(figure) if "validation" in label]
    assert len(lines_of(figure)["training"]) == epochs
    assert overhang(figure) == 0


def test_a_single_epoch_is_a_visible_point_in_every_line(tmp_path):
    figure = curves(read(tmp_path, metrics_csv(epochs=1)), {})
    markers = [line.get_marker() for ax in figure.axes for line in ax.lines]
    assert markers
    assert not {"", "None", None, " "} & set(markers)


def test_gradient_norms_are_on_a_log_axis_and_ordered_by_layer(tmp_path):
    norms = curves(read(tmp_path, metrics_csv(layers=11)), {}).axes[3]
    assert norms.get_yscale() == "log"
    numbers = [line.get_label().split()[1] for line in norms.lines[1:]]
    assert numbers == [str(i) for i in range(1, 12)]


@pytest.mark.parametrize("value", ["0.0", "inf", "nan", "1e-300", "1e300"])
def test_extreme_values_of_a_failed_run_are_drawn_without_a_warning(tmp_path, value):
    metrics = read(tmp_path, metrics_csv())
    for name in metrics:
        if "loss" in name or "grad" in name:
            metrics[name][2:] = float(value)
    assert overhang(curves(metrics, {})) == 0


def test_a_layer_whose_gradients_are_all_zero_is_named_so(tmp_path):
    metrics = read(tmp_path, metrics_csv())
    metrics["grad_norm_2"][:] = 0
    assert "layer 2, all zero" in lines_of(curves(metrics, {}))


def test_gradient_norms_that_are_all_zero_are_drawn_on_a_linear_axis(tmp_path):
    metrics = read(tmp_path, metrics_csv())
    for name in metrics:
        metrics[name][:] = 0 if name.startswith("grad") else metrics[name]
    assert curves(metrics, {}).axes[3].get_yscale() == "linear"


# metrics.csv


def test_a_last_line_torn_at_any_place_is_ignored(tmp_path):
    table = metrics_csv(epochs=3)
    last = table.rstrip("\n").rindex("\n") + 1
    for end in range(last, len(table)):
        assert read(tmp_path, table[:end])["epoch"].tolist() == [1, 2], repr(table[last:end])
    assert read(tmp_path, table)["epoch"].tolist() == [1, 2, 3]


def test_windows_line_ends_are_read(tmp_path):
    (tmp_path / "metrics.csv").write_bytes(metrics_csv(epochs=3).replace("\n", "\r\n").encode())
    assert read_metrics(tmp_path / "metrics.csv")["epoch"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("line", ["2,200,0.1", "two" + 14 * ",1", 16 * "1,"])
def test_a_broken_line_in_the_middle_is_named_with_its_number(tmp_path, line):
    lines = metrics_csv(epochs=3).splitlines(keepends=True)
    lines[2] = line + "\n"
    with pytest.raises(UserError, match=r"metrics.csv, line 3: expected 15 numbers"):
        read(tmp_path, "".join(lines))


@pytest.mark.parametrize(("line", "name"), [(",1", "epoch"), ("2,", "step"), ("1,2", "epoch"), ("2,inf", "step")])
def test_epochs_and_steps_rise(tmp_path: Path, line: str, name: str) -> None:
    lines = metrics_csv(epochs=3).splitlines(keepends=True)
    lines[2] = ",".join([line, *lines[2].split(",")[2:]])
    with pytest.raises(UserError, match=f"the {name}s must be numbers that rise from 1"):
        read(tmp_path, "".join(lines))


def test_a_table_without_the_columns_of_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no column learning_rate, train_loss"):
        read(tmp_path, "epoch,loss\n1,0.5\n")


# Files


def test_draw_run_writes_all_plots_and_nothing_else(tmp_path):
    paths = run_plots.draw_run(write_run(tmp_path, metrics_csv(), predictions()))
    assert [path.name for path in paths] == ["curves.png", *PREDICTION_PLOTS]
    assert sorted((tmp_path / "plots").iterdir()) == sorted(paths)
    for path in paths:
        picture = imread(path)
        assert min(picture.shape[:2]) > 300
        assert picture.std() > 0.05  # something is drawn


@pytest.mark.parametrize("pictures", [3, pytest.param(0, marks=pytest.mark.slow)])
def test_plots_of_data_that_are_not_pictures_leave_the_samples_out(tmp_path, pictures):
    arrays = predictions(pictures=pictures) | {"images": np.zeros((pictures, 7))}
    paths = run_plots.draw_predictions(arrays, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == PREDICTION_PLOTS[:-1]


def test_a_failed_run_gets_the_plots_that_its_files_allow(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    only_metrics = run_plots.draw_run(write_run(tmp_path / "a", table=metrics_csv()))
    no_epoch = run_plots.draw_run(write_run(tmp_path / "b", metrics_csv(epochs=0)[:20], predictions()))
    assert [path.name for path in only_metrics] == ["curves.png"]
    assert [path.name for path in no_epoch] == PREDICTION_PLOTS


@pytest.mark.parametrize("table", [None, "", metrics_csv(epochs=0)], ids=["none", "empty", "header"])
def test_a_directory_with_nothing_to_draw_is_an_error(tmp_path, table):
    with pytest.raises(UserError, match="nothing to draw"):
        run_plots.draw_run(write_run(tmp_path, table))
    assert not (tmp_path / "plots").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": None}, "lack y_true"),
        ({"y_pred": np.zeros(3, int)}, "one length"),
        ({"y_pred": np.full(400, 10)}, r"in 0\.\.9"),
        ({"y_true": np.full(400, -1)}, r"in 0\.\.9"),
        ({"image_rows": np.arange(11)}, "image_rows"),
        ({"image_rows": np.full(12, 400)}, "image_rows"),
        ({"class_names": np.array([Calls(pytest.fail, "a pickle was executed")] * 10)}, "cannot be read"),
    ],
)
def test_wrong_predictions_are_refused_with_the_reason(tmp_path, change, message):
    arrays = {k: v for k, v in (predictions() | change).items() if v is not None}
    with pytest.raises(UserError, match=message):
        run_plots.draw_run(write_run(tmp_path, arrays=arrays))


def test_files_that_are_not_what_their_name_says_are_refused(tmp_path):
    write_run(tmp_path, metrics_csv())
    for text in ("[1]", "{", "null"):
        (tmp_path / "summary.json").write_text(text)
        with pytest.raises(UserError, match=r"summary.json is not a JSON object"):
            run_plots.draw_run(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps({}))
    for content in (b"", b"PK\x03\x04 torn", b"text"):
        (tmp_path / "predictions.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"predictions.npz cannot be read"):
            run_plots.draw_run(tmp_path)


# The command


def test_the_command_draws_a_run_and_prints_the_paths_without_pyplot(tmp_path):
    write_run(tmp_path, metrics_csv(), predictions())
    code = "import sys; from mlp.report.__main__ import main; main(['run', sys.argv[1]])\n"
    code += "assert 'matplotlib.pyplot' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [Path(line).name for line in done.stdout.split("\n")[:-1]] == ["curves.png", *PREDICTION_PLOTS]


def test_a_users_mistake_ends_with_code_2_and_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    absent = tmp_path / "absent"
    write_run(tmp_path, metrics_csv())
    (tmp_path / "plots").write_text("a file where the folder should be")
    for arguments in (["run", str(absent)], ["run", str(tmp_path)], [], ["run"], ["walk", "x"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        message = capsys.readouterr().err
        assert message.startswith("Error: ")
        assert message.count("\n") == 1
        if str(absent) in arguments:
            where = "below outputs and multirun_outputs: give the path of one"
            assert message == f"Error: there is no run '{absent}' {where}\n"


def test_a_run_is_named_as_for_mlp_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))
    directory = make_run(
        tmp_path / "outputs" / "digits" / "first", ["dataset=digits"], {"val_loss": [1.0]}, {"val_accuracy": 0.5}
    )
    for name in ("last", "best", "digits/fi"):
        main(["run", name])
        assert capsys.readouterr().out == f"{directory.relative_to(tmp_path) / 'plots' / 'curves.png'}\n"


def test_help_answers_without_matplotlib():
    code = "import sys; from mlp.report.__main__ import main\ntry: main(['--help'])\n"
    code += "finally: assert 'matplotlib' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "run" in done.stdout
