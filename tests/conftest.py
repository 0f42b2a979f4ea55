"""What all tests share: pictures are drawn off screen, and under CI=true a skip is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator

import matplotlib as mpl
import pytest

mpl.use("Agg")
# As cxrkit sets it, for test modules that import ONNX Runtime before it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

Report = pytest.TestReport | pytest.CollectReport

# Tests that may be skipped under CI=true, by node id. Empty, and meant to stay so: .ci/run installs what tests need.
MAY_SKIP_IN_CI: frozenset[str] = frozenset()


def _forbid_skip(report: Report) -> Report:
    is_expected_failure = hasattr(report, "wasxfail")
    if report.skipped and not is_expected_failure and report.nodeid not in MAY_SKIP_IN_CI and _in_ci():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which CI=true forbids: {reason}"
    return report


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Report, Report]:
    """Turn a test's skip into a failure under CI=true."""
    return _forbid_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Report, Report]:
    """Turn a module's skip, as by importorskip, into a failure under CI=true."""
    return _forbid_skip((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each executed notebook took, as tests/test_notebooks.py recorded it."""
    rows = [
        dict(report.user_properties)["notebook"]
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if "notebook" in dict(report.user_properties)
    ]
    if rows:
        terminalreporter.section("notebooks: seconds and peak MB")
        for row in sorted(rows):
            terminalreporter.write_line(row)
