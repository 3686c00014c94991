"""The plots of a run show what its files say."""

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from mlp.base.errors import UserError
from mlp.report import run_plots
from mlp.report.__main__ import main
from mlp.report.figures.bars import per_class, robustness
from mlp.report.figures.curves import curves
from mlp.report.figures.matrix import confusion_matrix
from mlp.report.figures.reliability import reliability
from mlp.report.figures.wall import samples
from mlp.report.read import confusion, read_facts, read_metrics

FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
FASHION += ["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
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


def predictions(n: int = 400, classes: int = 10, pictures: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    y_true = rng.integers(0, classes, n)
    y_pred = np.where(rng.random(n) < 0.7, y_true, rng.integers(0, classes, n))
    return {
        "y_true": y_true,
        "y_pred": y_pred,
        "confidence": rng.uniform(0.2, 1, n).astype(np.float32),
        "class_names": np.array(FASHION if classes == 10 else [f"class {i}" for i in range(classes)]),
        "images": rng.integers(0, 256, (pictures, 6, 5), dtype=np.uint8),
        "image_rows": rng.permutation(n)[:pictures],
    }


def write_run(run_dir: Path, table: str | None = None, arrays: Arrays | None = None) -> Path:
    if table is not None:
        (run_dir / "metrics.csv").write_text(table)
    if arrays is not None:
        np.savez(run_dir / "predictions.npz", **arrays)
    return run_dir


def read(tmp_path: Path, table: str) -> dict[str, np.ndarray]:
    return read_metrics(write_run(tmp_path, table) / "metrics.csv")


def counted(arrays: Arrays) -> np.ndarray:
    return confusion(arrays)


def lines_of(figure: Figure) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_xydata()) for ax in figure.axes for line in ax.lines}


def shown_matrix(figure: Figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def all_texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def overhang(figure: Figure) -> float:
    """How far, in inches, anything drawn reaches over the edge of the page."""
    FigureCanvasAgg(figure).draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return max(0.0, -drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height)


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
    assert figure.get_suptitle() == "mnist, best epoch 2 (dotted line), test accuracy 97.31%"


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


def test_a_table_without_the_columns_of_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no column learning_rate, train_loss"):
        read(tmp_path, "epoch,loss\n1,0.5\n")


# The confusion matrix


def test_confusion_counts_agree_with_counting_pair_by_pair():
    arrays = predictions()
    expected = np.zeros((10, 10), int)
    for true, predicted in zip(arrays["y_true"], arrays["y_pred"], strict=True):
        expected[true, predicted] += 1
    counts = counted(arrays)
    assert counts.tolist() == expected.tolist()
    assert counts.sum() == 400


def test_counts_of_narrow_integers_do_not_overflow():
    y_true = np.array([99, 99, 3], np.uint8)
    counts = confusion({"y_true": y_true, "y_pred": y_true.astype(np.int8), "class_names": np.arange(100)})
    assert counts[99, 99] == 2
    assert counts[3, 3] == 1
    assert counts.sum() == 3


def test_the_matrix_of_counts_shows_the_counts_in_colour_and_number():
    arrays = predictions()
    counts = counted(arrays)
    figure = confusion_matrix(counts, arrays["class_names"])
    assert shown_matrix(figure).tolist() == counts.tolist()
    numbers = {(t.get_position()[1], t.get_position()[0]): int(t.get_text()) for t in figure.axes[0].texts}
    assert numbers == {(i, j): counts[i, j] for i in range(10) for j in range(10) if counts[i, j]}
    wrong = int((arrays["y_true"] != arrays["y_pred"]).sum())
    assert f"{wrong} of 400 predictions are wrong" in figure.axes[0].get_title(loc="left")


def test_normalised_rows_sum_to_one_and_carry_per_cent():
    counts = np.array([[3, 1, 0], [0, 0, 0], [1, 1, 1]])
    figure = confusion_matrix(counts, np.array(["a", "b", "c"]), normalised=True)
    assert shown_matrix(figure).sum(axis=1) == pytest.approx([1, 0, 1])  # b: no sample of that class
    assert all_texts(figure) == ["75.0", "25.0", "33.3", "33.3", "33.3"]


def test_more_than_twenty_classes_have_a_colour_bar_instead_of_numbers():
    for classes, bars in ((20, 0), (21, 1)):
        arrays = predictions(classes=classes)
        figure = confusion_matrix(counted(arrays), arrays["class_names"])
        assert bool(all_texts(figure)) != bool(bars)
        assert len(figure.axes) == 1 + bars


# Reliability and robustness


def test_points_of_the_reliability_are_the_bins_with_samples():
    confidence, right = np.array([0.95, 0.97, 0.55, 0.54]), np.array([True, False, True, True])
    ax = reliability(confidence, right).axes[0]
    (line,) = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(line.get_xydata(), [[0.545, 1], [0.96, 0.5]])
    assert [text.get_text() for text in ax.texts] == ["2", "2"]
    assert "Calibration error 0.4575" in ax.get_title(loc="left")  # (2 x 0.455 + 2 x 0.46) / 4


def test_changed_images_have_a_bar_each_the_first_on_top():
    figure = robustness([("as they are", 0.9), ("inverted", 0.25)], 100)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["inverted", "as they are"]
    assert [bar.get_width() for bar in ax.patches] == [0.25, 0.9]
    assert overhang(figure) == 0


# Bars and samples


def test_bars_are_the_recall_of_each_class_in_rising_order():
    arrays = predictions()
    figure = per_class(counted(arrays), arrays["class_names"])
    ax = figure.axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    lengths = [bar.get_width() for bar in ax.patches]
    hits = arrays["y_true"] == arrays["y_pred"]
    expected = {name: hits[arrays["y_true"] == i].mean() for i, name in enumerate(FASHION)}
    assert dict(zip(labels, lengths, strict=True)) == pytest.approx(expected)
    assert lengths == sorted(lengths)
    low = 10 * min(lengths) - 0.1
    assert ax.get_xlim() == pytest.approx((low // 1 / 10, 1))  # a tenth below the lowest: the differences show
    assert ax.lines[0].get_xdata()[0] == pytest.approx(hits.mean())
    assert [text[: text.index("%")] for text in all_texts(figure)] == [f"{100 * x:.1f}" for x in lengths]


def test_a_class_without_samples_is_said_to_have_none():
    figure = per_class(np.array([[0, 0], [1, 3]]), np.array(["a", "b"]))
    assert all_texts(figure) == ["no sample", "75.0%  (3 of 4)"]


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_exactly_the_wrong_pictures_are_framed_and_crossed(shape, dtype):
    arrays = predictions(pictures=20)
    shades = np.arange(20) * 255 // 19  # one shade per picture, to know it again
    arrays["images"] = np.multiply.outer(shades, np.ones(shape)).astype(dtype)
    ax = samples(arrays).axes[0]
    wall = np.asarray(ax.images[0].get_array())
    rows = arrays["image_rows"]
    wrong = set(np.flatnonzero(arrays["y_true"][rows] != arrays["y_pred"][rows]))
    assert 0 < len(wrong) < 20

    framed = [(int(p.get_y()), int(p.get_x())) for p in ax.patches]
    pictures = [wall[y : y + 6, x : x + 5] for y, x in framed]
    assert all(picture.min() == picture.max() for picture in pictures)
    seen = [int(np.abs(shades - picture[0, 0, 0]).argmin()) for picture in pictures]
    assert sorted(seen) == sorted(wrong)

    captions = [text.get_text().split() for text in ax.texts]
    assert sum("✗" in words for words in captions) == len(wrong)
    assert sum("✓" in words for words in captions) == 20 - len(wrong)


def test_a_caption_says_true_class_predicted_class_and_confidence():
    arrays = predictions(pictures=2)
    arrays["class_names"] = np.array(list("0123456789"))
    arrays["image_rows"] = np.array([5, 7])
    for name, values in {"y_true": [4, 2], "y_pred": [4, 9], "confidence": [0.99, 0.42]}.items():
        arrays[name][[5, 7]] = values
    assert all_texts(samples(arrays)) == ["2 → 9\n✗ 42%", "4 → 4\n✓ 99%"]


def test_colours_survive_and_any_range_of_numbers_is_stretched_to_black_and_white():
    arrays = predictions(pictures=1)
    arrays["images"] = np.array([[[[-2.0, 0.0, 2.0]]]])
    wall = np.asarray(samples(arrays).axes[0].images[0].get_array())
    assert wall[0, 0].tolist() == [0, 127, 255]


def test_bytes_that_end_below_255_are_stretched_too():
    arrays = predictions(pictures=1)
    arrays["images"] = np.array([[[0, 4, 16]]], np.uint8)  # the pixels of digits are 0 to 16
    wall = np.asarray(samples(arrays).axes[0].images[0].get_array())
    assert wall[0, :3, 0].tolist() == [0, 63, 255]


@pytest.mark.parametrize(
    "names",
    [FASHION, ["$x^2$", "{unbalanced $", *"abcdefgh"], ["a name far longer than anyone would wish for"] * 10],
    ids=["fashion", "markup", "long"],
)
def test_no_text_is_cut_off_at_the_edge(names):
    arrays = predictions() | {"class_names": np.array(names)}
    counts = counted(arrays) * 1000
    assert overhang(confusion_matrix(counts, arrays["class_names"])) == 0
    assert overhang(confusion_matrix(counts, arrays["class_names"], normalised=True)) == 0
    assert overhang(per_class(counts, arrays["class_names"])) == 0
    assert overhang(samples(arrays)) == 0


@pytest.mark.parametrize("classes", [1, 2, 25, pytest.param(250, marks=pytest.mark.slow)])
def test_any_number_of_classes_can_be_drawn(classes):
    arrays = predictions(classes=classes)
    assert overhang(confusion_matrix(counted(arrays), arrays["class_names"])) == 0
    assert overhang(per_class(counted(arrays), arrays["class_names"])) == 0


# Files


def test_draw_run_writes_all_plots_and_nothing_else(tmp_path):
    paths = run_plots.draw_run(write_run(tmp_path, metrics_csv(), predictions()))
    assert [path.name for path in paths] == ["curves.png", *PREDICTION_PLOTS]
    assert sorted((tmp_path / "plots").iterdir()) == sorted(paths)
    for path in paths:
        picture = imread(path)
        assert min(picture.shape[:2]) > 300
        assert picture.std() > 0.05  # something is drawn


@pytest.mark.parametrize("pictures", [0, 3])
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


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": None}, "lack y_true"),
        ({"y_pred": np.zeros(3, int)}, "one length"),
        ({"y_pred": np.full(400, 10)}, r"in 0\.\.9"),
        ({"y_true": np.full(400, -1)}, r"in 0\.\.9"),
        ({"image_rows": np.arange(11)}, "image_rows"),
        ({"image_rows": np.full(12, 400)}, "image_rows"),
        ({"class_names": np.array([Bomb()] * 10)}, "cannot be read"),
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
            assert message == "Error: there is no such run below outputs and multirun_outputs: give the path of one\n"


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
