"""A whole run in a bucket, on a server that speaks S3."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.reruns import command

from signdpo.storage.files import fetch_folder, list_folder, read_json, read_text

pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")
pytestmark = [pytest.mark.long, pytest.mark.usefixtures("own_ray")]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="runs")
        yield "s3://runs"
    server.stop()


def test_a_run_in_a_bucket_completes_and_is_up_to_date_afterwards(bucket: str, tmp_path: Path) -> None:
    directory = f"{bucket}/first"
    cached = ["negatives.mode=cached"]
    done = subprocess.run(
        command(directory, *cached), capture_output=True, text=True, timeout=500, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert {"clips", "pretrain", "perturber", "negatives", "align", "evaluation"} <= set(list_folder(directory))
    rows = [json.loads(line) for line in read_text(f"{directory}/align/metrics.jsonl").splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 11))
    assert "model.safetensors" in {path.name for path in Path(fetch_folder(f"{directory}/align/policy")).rglob("*")}
    assert read_text(f"{directory}/report.html").startswith("<!doctype html>")
    again = subprocess.run(
        command(directory, *cached), capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ)
    )
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-3000:]
    assert again.stdout.count("up to date") == 6
    assert read_json(f"{directory}/evaluation/comparison.json")
