"""Jobs of SLURM: the file a user writes, the script that becomes of it, and a shell script in place of SLURM."""

import os
import re
import stat
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="the extra `cluster` is not installed")
pytest.importorskip("dask_jobqueue", reason="the extra `cluster` is not installed")

from aleaseg.cluster import connected  # noqa: E402
from aleaseg.cluster.opening import slurm_options  # noqa: E402
from aleaseg.errors import UsageError  # noqa: E402
from aleaseg.work import map_cases  # noqa: E402

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "cluster.md"
FILES = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def script_of(text, folder):
    from dask_jobqueue import SLURMCluster

    file = folder / "jobs.yaml"
    file.write_text(text)
    jobs, options = slurm_options(file)
    with SLURMCluster(**{**options, "log_directory": str(folder)}) as cluster:
        return jobs, cluster.job_script()


def test_the_page_has_a_file_for_cores_and_one_for_gpus(tmp_path):
    on_cores, on_gpus = FILES
    jobs, script = script_of(on_cores, tmp_path)
    assert jobs == 10
    for line in ("-p cpu", "-n 1", "--cpus-per-task=4", "--mem=30G", "-t 08:00:00"):
        assert f"#SBATCH {line}\n" in script
    assert "--nthreads 1 --memory-limit 7.45GiB --nworkers 4" in script
    jobs, script = script_of(on_gpus, tmp_path)
    assert jobs == 5
    assert "#SBATCH --gres=gpu:1\n" in script
    assert "--nthreads 1 " in script
    assert "--resources GPU=1" in script


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cores: 1\nmemory: 1GB", "does not say how many jobs"),
        ("jobs: many\ncores: 1", "does not say how many jobs"),
        ("jobs: 1\ncores: 2", "does not say memory"),
        ("jobs: 1\ncores: 4\nmemory: 8GB\nprocesses: 2", "asks for 2 processes on 4 cores"),
        ("- a list", "does not say how many jobs"),
        ("jobs: [", "cannot be read"),
    ],
)
def test_a_file_that_cannot_work_is_refused(tmp_path, text, said):
    (tmp_path / "jobs.yaml").write_text(text)
    with pytest.raises(UsageError, match=said):
        slurm_options(tmp_path / "jobs.yaml")


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for SLURM is a shell script")
def test_jobs_are_sent_do_the_work_and_are_cancelled(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text(
        "#!/bin/bash\n"
        f'cp "$1" {tmp_path}/sent.sh\n'
        f"setsid bash {tmp_path}/sent.sh > {tmp_path}/job.log 2>&1 &\n"
        "echo Submitted batch job $!\n"
    )
    (tools / "scancel").write_text(f"#!/bin/bash\necho $1 >> {tmp_path}/cancelled\nkill -- -$1\n")
    for tool in tools.iterdir():
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "jobs.yaml").write_text(
        f"jobs: 1\ncores: 1\nmemory: 1GB\nlog_directory: {tmp_path}\ninterface: lo\nqueue: short\n"
    )
    told = []
    with connected(f"slurm:{tmp_path / 'jobs.yaml'}", writes=tmp_path / "run", announce=told.append):
        assert dict(map_cases(abs, range(-3, 0))) == {-3: 3, -2: 2, -1: 1}
    assert told == ["1 SLURM jobs are asked for; the work begins with the first worker."]
    assert "#SBATCH -p short" in (tmp_path / "sent.sh").read_text()
    assert len((tmp_path / "cancelled").read_text().split()) == 1
