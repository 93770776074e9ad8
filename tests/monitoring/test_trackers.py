"""Trackers draw no step twice, what is asked for and missing is refused, and none of them ends a run."""

from __future__ import annotations

import json
import sys
import time
import types
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from rich.console import Console

from signdpo.config import ConfigError, flat, load_config
from signdpo.monitoring.following import check_tracking, follow
from signdpo.monitoring.services import MlflowTracker, WandbTracker
from signdpo.monitoring.tensorboard import TensorBoardTracker
from signdpo.monitoring.trackers import Tracker, Trackers, Training
from signdpo.pipeline.run import run
from signdpo.tuning.search import run_search
from signdpo.tuning.settings import Range, SearchConfig

TRAINING = Training(load_config(), "/runs/demo", "demo", "align", "abc", start_step=0, total_steps=9)


def rows(first: int, last: int, loss: float = 1.0) -> list[dict[str, Any]]:
    values = {"epoch": 0, "loss": loss, "rewards/margins/language": 0.1}
    return [{"step": step, **values} for step in range(first, last + 1)]


def log_all(tracker: Tracker, *parts: list[dict[str, Any]]) -> None:
    for part in parts:
        for row in part:
            tracker.log(row)
            tracker.beat()
    tracker.close()


def drawn(folder: Path, tag: str) -> list[tuple[int, float]]:
    """Steps and values of a curve, as TensorBoard shows it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(point.step, round(point.value, 3)) for point in events.Scalars(tag)]


def test_tensorboard_has_every_row_once_when_workers_restart_and_when_the_driver_resumes(tmp_path: Path) -> None:
    # Workers die after step 5 and go on from the checkpoint of step 3; the driver dies after 6, with one of step 4.
    log_all(TensorBoardTracker(str(tmp_path), start_step=0), rows(1, 5), rows(4, 6, loss=2.0))
    log_all(TensorBoardTracker(str(tmp_path), start_step=4), rows(5, 8, loss=3.0))
    expected = [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 3.0), (6, 3.0), (7, 3.0), (8, 3.0)]
    assert drawn(tmp_path, "loss") == expected
    assert [step for step, _ in drawn(tmp_path, "rewards/margins/language")] == list(range(1, 9))


def test_tensorboard_logs_of_a_remote_run_directory_lie_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signdpo.monitoring.tensorboard.UPLOAD_SECONDS", 0.0)
    memory = fsspec.filesystem("memory")
    tracker = TensorBoardTracker("memory://bucket/demo/align/tensorboard", start_step=0)
    tracker.log(rows(1, 1)[0])
    tracker.beat()
    assert len(memory.ls("/bucket/demo/align/tensorboard")) == 1  # a driver that is killed leaves what it has drawn
    log_all(tracker, rows(2, 3))
    memory.get("/bucket/demo/align/tensorboard", str(tmp_path / "fetched"), recursive=True)
    assert [step for step, _ in drawn(tmp_path / "fetched", "loss")] == [1, 2, 3]
    assert not Path(tracker.place).exists()


class Broken(Tracker):
    def log(self, row: Mapping[str, Any]) -> None:
        raise OSError("no space left on device")


class Heard(Tracker):
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.beats = 0
        self.closed = False

    def log(self, row: Mapping[str, Any]) -> None:
        self.steps.append(row["step"])

    def beat(self) -> None:
        self.beats += 1

    def close(self) -> None:
        self.closed = True


def unreachable() -> Tracker:
    raise ConnectionError("nobody answers at host:5000")


def test_a_tracker_that_fails_is_told_of_once_and_the_others_go_on() -> None:
    console, heard = Console(file=StringIO(), width=200), Heard()
    with Trackers({"MLflow": unreachable, "broken": Broken, "heard": lambda: heard}, console) as trackers:
        for row in rows(1, 3):
            trackers.log(row)
    assert heard.steps == [1, 2, 3]
    assert heard.closed
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed.count("left out") == 2
    assert "MLflow failed and is left out until the next stage: ConnectionError: nobody answers" in printed
    assert "broken failed and is left out until the next stage: OSError: no space left" in printed


def test_trackers_have_time_to_work_while_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signdpo.monitoring.trackers.BEAT_SECONDS", 0.02)
    heard = Heard()
    with Trackers({"heard": lambda: heard}, Console(file=StringIO())):
        deadline = time.monotonic() + 10
        while heard.beats < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert heard.beats >= 3
    assert heard.steps == []


@pytest.mark.parametrize(("key", "package"), [("wandb", "wandb"), ("mlflow", "mlflow-skinny")])
def test_a_tracker_that_is_not_installed_is_refused_before_any_work(
    key: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config, console = load_config(None, [f"tracking.{key}=here"]), Console(file=StringIO())
    message = rf"tracking\.{key}=here.*pip install {package}"
    with pytest.raises(ConfigError, match=message):
        run(config, str(tmp_path / "run"), console)
    search = SearchConfig(space={"dpo.beta": Range(uniform=(0.1, 1.0))})
    with pytest.raises(ConfigError, match=message):
        run_search(config, search, str(tmp_path / "search"), console)
    assert list(tmp_path.iterdir()) == []
    check_tracking(load_config())


@pytest.fixture
def wandb_offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield wandb
    wandb.teardown()


def test_wandb_gets_each_step_once_under_an_id_that_lasts(tmp_path: Path, wandb_offline: Any) -> None:
    training = replace(TRAINING, directory=str(tmp_path))
    log_all(WandbTracker(training, "signs"), rows(1, 5), rows(4, 6))
    wandb_offline.teardown()  # its service may still be writing when an offline run has finished
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert folder.name.endswith(training.id)
    assert [step for step, _ in wandb_history(folder)] == [1, 2, 3, 4, 5, 6]
    assert {values["loss"] for _, values in wandb_history(folder)} == {1.0}
    assert training.id != replace(training, key="abd").id
    assert training.id != replace(training, stage="pretrain").id
    assert training.id == replace(training, start_step=4).id


def wandb_history(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """Steps and values in the file of an offline run."""
    from wandb.proto.wandb_internal_pb2 import Record

    history = []
    for data in leveldb_records(next(folder.glob("*.wandb")).read_bytes(), begin=7):
        record = Record.FromString(data)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            history.append((int(record.history.step.num), items))
    return history


def leveldb_records(data: bytes, *, begin: int) -> Iterator[bytes]:
    """The records of a log in LevelDB's format: checksum, length and kind, then a whole record or a part of one."""
    block, whole, last = 32768, 1, 4
    parts = b""
    while begin + 7 <= len(data):
        if block - begin % block < 7:
            begin += block - begin % block
            continue
        length, kind = int.from_bytes(data[begin + 4 : begin + 6], "little"), data[begin + 6]
        parts += data[begin + 7 : begin + 7 + length]
        begin += 7 + length
        if kind in (whole, last):
            yield parts
            parts = b""


class FakeClient:
    """As much of `mlflow.MlflowClient` as the tracker asks for; the stores outlive the clients."""

    runs: ClassVar[dict[str, types.SimpleNamespace]] = {}

    def __init__(self, tracking_uri: str) -> None:
        self.runs = FakeClient.runs

    def get_experiment_by_name(self, name: str) -> Any:
        return types.SimpleNamespace(experiment_id="0") if self.runs else None

    def create_experiment(self, name: str) -> str:
        return "0"

    def search_runs(self, experiments: list[str], wanted: str) -> list[Any]:
        return [run for run in self.runs.values() if wanted == f"tags.`signdpo.training` = '{run.tag}'"]

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
        info, tag = types.SimpleNamespace(run_id=f"r{len(self.runs)}"), tags["signdpo.training"]
        made = types.SimpleNamespace(info=info, tag=tag, metrics=[], params={}, status="RUNNING")
        self.runs[info.run_id] = made
        return made

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(params) <= 100
        self.runs[run_id].metrics.extend(metrics)
        self.runs[run_id].params |= {param.key: param.value for param in params}

    def get_metric_history(self, run_id: str, key: str) -> list[Any]:
        return [metric for metric in self.runs[run_id].metrics if metric.key == key]

    def update_run(self, run_id: str, status: str) -> None:
        self.runs[run_id].status = status

    def set_terminated(self, run_id: str) -> None:
        self.runs[run_id].status = "FINISHED"


@pytest.fixture
def fake_mlflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, types.SimpleNamespace]:
    def metric(key: str, value: float, timestamp: int, step: int) -> Any:
        return types.SimpleNamespace(key=key, value=value, step=step)

    entities = types.SimpleNamespace(
        Metric=metric, Param=lambda key, value: types.SimpleNamespace(key=key, value=value)
    )
    monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=FakeClient, entities=entities))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setattr(FakeClient, "runs", {})
    return FakeClient.runs


def test_mlflow_goes_on_in_the_run_of_the_same_training(fake_mlflow: dict[str, types.SimpleNamespace]) -> None:
    log_all(MlflowTracker(TRAINING, "http://host:5000"), rows(1, 5), rows(4, 6))
    log_all(MlflowTracker(replace(TRAINING, start_step=4), "http://host:5000"), rows(5, 8))
    log_all(MlflowTracker(replace(TRAINING, key="abd"), "http://host:5000"), rows(1, 2))
    first, second = fake_mlflow.values()
    assert [metric.step for metric in first.metrics if metric.key == "loss"] == list(range(1, 9))
    assert [metric.step for metric in second.metrics if metric.key == "loss"] == [1, 2]
    assert first.params == {key: str(value) for key, value in flat(TRAINING.config.model_dump(mode="json")).items()}
    assert {first.status, second.status} == {"FINISHED"}


@pytest.mark.long
def test_mlflow_keeps_the_curves_in_a_real_store(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    log_all(MlflowTracker(TRAINING, uri), rows(1, 5), rows(4, 6))
    log_all(MlflowTracker(replace(TRAINING, start_step=4), uri), rows(5, 8))
    client = mlflow.MlflowClient(tracking_uri=uri)
    (found,) = client.search_runs([client.get_experiment_by_name("signdpo").experiment_id])
    assert found.info.run_name == "demo-align"
    assert [metric.step for metric in client.get_metric_history(found.info.run_id, "loss")] == list(range(1, 9))
    assert found.data.params["dpo.beta"] == "1.0"


def test_trackers_are_those_asked_for() -> None:
    asked = load_config(None, ["tracking.wandb=signs", "tracking.mlflow=http://host:5000"])
    console = Console(file=StringIO())
    assert list(follow(TRAINING, console).openers) == ["Ray metrics", "TensorBoard"]
    assert list(follow(replace(TRAINING, config=asked), console).openers) == [
        "Ray metrics",
        "TensorBoard",
        "Weights & Biases",
        "MLflow",
    ]
