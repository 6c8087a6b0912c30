"""NVIDIA GPUs, without one: a library that answers as the driver's does, with the real one's names, errors and constants."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from metricagent.collector import Reading
from metricagent.collectors.nvidia import Nvidia, container_of
from metricagent.collectors.patience import Patient
from metricagent.host import Host
from metricwire.catalog.accelerators import ACCELERATORS

FIRST, SECOND = "00000000:49:00.0", "00000000:C1:00.0"
WEB, JOB = "ab" * 32, "cd" * 32


def process(pid: int, used: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=used)


def refused(number: int) -> Callable[..., Any]:
    def answer(*_: Any) -> Any:
        raise pynvml.NVMLError(number)

    return answer


class Library:
    """What pynvml gives, with two devices; `answers` are the values or functions by the end of the function's name."""

    def __init__(self, **answers: Any) -> None:
        self.began = 0
        self.answers: dict[str, Any] = {
            "Count": 2,
            "HandleByIndex": lambda index: index,
            "PciInfo": lambda handle: SimpleNamespace(busId=(FIRST, SECOND)[handle]),
            "UtilizationRates": SimpleNamespace(gpu=75, memory=40),
            "MemoryInfo": SimpleNamespace(total=80 << 30, used=20 << 30, free=60 << 30),
            "PowerUsage": 250500,
            "EnforcedPowerLimit": 700000,
            "TotalEnergyConsumption": 123456789,
            "Temperature": lambda _, sensor: {pynvml.NVML_TEMPERATURE_GPU: 61}[sensor],
            "FanSpeed": 30,
            "ClockInfo": lambda _, clock: {
                pynvml.NVML_CLOCK_SM: 1980,
                pynvml.NVML_CLOCK_MEM: 2619,
                pynvml.NVML_CLOCK_GRAPHICS: 1980,
            }[clock],
            "EncoderUtilization": [5, 167000],
            "DecoderUtilization": [6, 167000],
            "TotalEccErrors": lambda _, kind, counter: {
                (pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, pynvml.NVML_VOLATILE_ECC): 3,
                (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC): 1,
            }[kind, counter],
            "RemappedRows": (2, 1, 0, 0),
            "ComputeRunningProcesses": [],
            "GraphicsRunningProcesses": [],
            **answers,
        }

    def __getattr__(self, name: str) -> Any:
        real = getattr(pynvml, name)  # AttributeError for what the real one does not have
        if not name.startswith("nvmlDeviceGet"):
            return real
        answer = self.answers[name.removeprefix("nvmlDeviceGet")]
        return answer if callable(answer) else lambda *_: answer

    def nvmlInit(self) -> None:  # noqa: N802 the library's name
        self.began += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        pass


@pytest.fixture
def gpu(tmp_path: Path) -> Callable[[Library], Nvidia]:
    """A collector on a host that has the driver, with that library."""
    (tmp_path / "driver/nvidia").mkdir(parents=True)
    (tmp_path / "driver/nvidia/version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05\n")
    for pid, container in ((10, WEB), (11, WEB), (12, JOB), (13, "")):
        (tmp_path / str(pid)).mkdir()
        group = f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{container}.scope" if container else "/user.slice"
        (tmp_path / str(pid) / "cgroup").write_text(f"0::{group}\n")
    return lambda library: Nvidia(Host(proc=tmp_path), load=lambda: library)


def of(readings: list[Reading], address: str) -> dict[str, float]:
    return {r.metric: r.value for r in readings if (r.type, r.type_id) == ("accelerator", address)}


def test_a_device_in_base_units(gpu: Callable[[Library], Nvidia]) -> None:
    found = gpu(Library()).collect(0)
    assert of(found, FIRST) == of(found, SECOND)
    assert of(found, FIRST) == {
        "acc_utilization": 75, "acc_mem_util": 40, "acc_mem_used": 20 << 30, "nv_fb_mem_total": 80 << 30,
        "acc_power": 250.5, "nv_power_max_limit": 700, "nv_energy_abs": 123456.789, "nv_temp": 61, "nv_fan": 30,
        "nv_sm_clock": 1.98e9, "nv_mem_clock": 2.619e9, "nv_graphics_clock": 1.98e9,
        "nv_encoder_util": 5, "nv_decoder_util": 6, "nv_ecc_corrected_error": 3, "nv_ecc_uncorrected_error": 1,
        "nv_remapped_rows_corrected": 2, "nv_remapped_rows_uncorrected": 1, "nv_remapped_rows_pending": 0,
        "nv_remapped_rows_failure": 0, "nv_compute_processes": 0,
    }  # fmt: skip


def test_each_metric_of_the_catalogue(gpu: Callable[[Library], Nvidia]) -> None:
    found = gpu(Library(ComputeRunningProcesses=[process(10, 1)])).collect(0)
    assert {(r.metric, r.stype or r.type) for r in found} == {(m.name, level) for m in ACCELERATORS for level in m.at}


def test_which_container_holds_how_much_of_which_device(gpu: Callable[[Library], Nvidia]) -> None:
    computing = [[process(10, 100), process(11, 50), process(13, 7)], [process(12, None), process(99, 9)]]
    drawing = [[process(10, 100)], []]
    library = Library(
        ComputeRunningProcesses=lambda handle: computing[handle], GraphicsRunningProcesses=lambda handle: drawing[handle]
    )
    found = gpu(library).collect(0)
    assert [reading for reading in found if reading.type == "container"] == [
        Reading("container_accelerator_memory_used_bytes", 150.0, "container", WEB, "accelerator", FIRST),
        Reading("container_accelerator_memory_used_bytes", 0.0, "container", JOB, "accelerator", SECOND),
    ]
    assert (of(found, FIRST)["nv_compute_processes"], of(found, SECOND)["nv_compute_processes"]) == (3, 2)


@pytest.mark.parametrize(
    ("text", "container"),
    [
        (f"0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-{WEB}.scope\n", WEB),
        (f"0::/kubepods/besteffort/pod123/{JOB}\n", JOB),
        (f"12:memory:/docker/{WEB}\n11:cpu:/docker/{WEB}\n", WEB),
        (f"0::/docker/{WEB}/kubepods/pod1/{JOB}\n", JOB),
        ("0::/system.slice/sshd.service\n", ""),
        ("", ""),
    ],
)
def test_the_container_of_a_cgroup(text: str, container: str) -> None:
    assert container_of(text.encode()) == container


def test_what_a_device_does_not_support_is_left_out_and_not_asked_again(gpu: Callable[[Library], Nvidia]) -> None:
    asked = []

    def no_fan(handle: int) -> None:
        asked.append(handle)
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    library = Library(
        FanSpeed=no_fan,
        UtilizationRates=refused(pynvml.NVML_ERROR_NOT_SUPPORTED),
        RemappedRows=refused(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
        TotalEccErrors=refused(pynvml.NVML_ERROR_NO_PERMISSION),
    )
    collector = gpu(library)
    for now in (0, 10):
        found = of(collector.collect(now), FIRST)
        assert not {"nv_fan", "acc_utilization", "nv_remapped_rows_pending", "nv_ecc_corrected_error"} & found.keys()
        assert found["acc_power"] == 250.5
    assert asked == [0, 1]


def test_a_device_that_is_lost_costs_itself_alone(gpu: Callable[[Library], Nvidia], caplog: pytest.LogCaptureFixture) -> None:
    def power(handle: int) -> int:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return 100000

    library = Library(PowerUsage=power)
    collector = gpu(library)
    for now in (0, 10):
        found = collector.collect(now)
        assert of(found, FIRST)["acc_power"] == 100
        assert not of(found, SECOND)
    assert caplog.messages == [f"cannot read GPU {SECOND}: GPU is lost"]
    assert library.began == 1


@pytest.mark.parametrize("function", ["HandleByIndex", "PciInfo"])
def test_a_device_that_is_not_even_there_costs_itself_alone(
    function: str, gpu: Callable[[Library], Nvidia], caplog: pytest.LogCaptureFixture
) -> None:
    library = Library()
    usual = library.answers[function]

    def lost(number: int) -> Any:
        if number == 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return usual(number)

    library.answers[function] = lost
    collector = gpu(library)
    for now in (0, 60):
        found = collector.collect(now)
        assert {reading.type_id for reading in found} == {SECOND}
    assert caplog.messages == ["cannot read GPU 0: GPU is lost"]
    library.answers[function] = usual
    assert {reading.type_id for reading in collector.collect(120)} == {FIRST, SECOND}
    assert library.began == 1


def test_a_driver_without_the_old_question_for_the_temperature(gpu: Callable[[Library], Nvidia]) -> None:
    library = Library(Temperature=refused(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND), TemperatureV=lambda _, sensor: 60 + sensor)
    assert of(gpu(library).collect(0), FIRST)["nv_temp"] == 60 + pynvml.NVML_TEMPERATURE_GPU


def test_a_driver_that_was_replaced_is_begun_anew(gpu: Callable[[Library], Nvidia]) -> None:
    library = Library()
    collector = gpu(library)
    collector.collect(0)
    library.answers["UtilizationRates"] = refused(pynvml.NVML_ERROR_UNINITIALIZED)
    assert collector.collect(10) == []
    library.answers["UtilizationRates"] = SimpleNamespace(gpu=1, memory=2)
    assert of(collector.collect(20), FIRST)["acc_utilization"] == 1
    assert library.began == 2


def test_a_library_that_cannot_be_loaded_is_a_failure(gpu: Callable[[Library], Nvidia]) -> None:
    library = Library()
    library.nvmlInit = refused(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)  # type: ignore[method-assign]
    with pytest.raises(pynvml.NVMLError, match="NVML Shared Library Not Found"):
        gpu(library).collect(0)


def test_without_the_driver_the_library_is_not_even_loaded(tmp_path: Path) -> None:
    def load() -> Iterator[None]:
        raise AssertionError("loaded")

    assert Nvidia(Host(proc=tmp_path), load).collect(0) == []


def test_a_driver_that_hangs_is_given_up_and_asked_again_once_it_answers(gpu: Callable[[Library], Nvidia]) -> None:
    answer = threading.Event()

    def hang(_: int) -> int:
        answer.wait()
        return 1000

    collector = gpu(Library(PowerUsage=hang))
    collector._ask = Patient(lambda _: collector._read(0.0), patience=0.01)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            collector.collect(0)
    answer.set()
    for thread in collector._ask._waiting.values():
        thread.join()
    collector._ask._patience = 60
    assert of(collector.collect(0), FIRST)["acc_power"] == 1


def test_a_driver_that_lost_its_devices_is_begun_anew(gpu: Callable[[Library], Nvidia]) -> None:
    library = Library()
    collector = gpu(library)
    collector.collect(0)
    library.answers["Count"] = refused(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    with pytest.raises(pynvml.NVMLError, match="Driver Not Loaded"):
        collector.collect(60)
    library.answers["Count"] = lambda: 1
    assert {r.type_id for r in collector.collect(61)} == {FIRST}
    assert library.began == 2


def test_a_device_without_a_list_of_processes_has_the_rest(gpu: Callable[[Library], Nvidia]) -> None:
    found = gpu(Library(ComputeRunningProcesses=refused(pynvml.NVML_ERROR_NOT_SUPPORTED))).collect(0)
    assert "nv_compute_processes" not in of(found, FIRST)
    assert of(found, FIRST)["acc_power"] == 250.5


class Driver:
    """What lies below the real package: the C library's functions, which fill in what their last arguments point to."""

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        self.answers: dict[str, tuple[Any, ...]] = {
            "nvmlInitWithFlags": (),
            "nvmlShutdown": (),
            "nvmlDeviceGetCount_v2": (1,),
            "nvmlDeviceGetHandleByIndex_v2": (),
            "nvmlDeviceGetPciInfo_v3": ({"busId": FIRST.encode()},),
            "nvmlDeviceGetUtilizationRates": ({"gpu": 75, "memory": 40},),
            "nvmlDeviceGetMemoryInfo": ({"total": 80 << 30, "used": 20 << 30},),
            "nvmlDeviceGetPowerUsage": (250500,),
            "nvmlDeviceGetEnforcedPowerLimit": (700000,),
            "nvmlDeviceGetTotalEnergyConsumption": (123456789,),
            "nvmlDeviceGetTemperature": (61,),
            "nvmlDeviceGetTemperatureV": ({"temperature": 62},),
            "nvmlDeviceGetFanSpeed": (30,),
            "nvmlDeviceGetClockInfo": (1980,),
            "nvmlDeviceGetEncoderUtilization": (5, 167000),
            "nvmlDeviceGetDecoderUtilization": (6, 167000),
            "nvmlDeviceGetTotalEccErrors": (3,),
            "nvmlDeviceGetRemappedRows": (2, 1, 0, 0),
        }
        self.processes = {"Compute": [(10, 100), (12, 50)], "Graphics": [(11, 7)]}

    def function(self, name: str) -> Callable[..., int]:
        """A C function by its name."""
        if name.endswith("RunningProcesses_v3"):
            return partial(self._list, self.processes[name.removeprefix("nvmlDeviceGet").removesuffix("RunningProcesses_v3")])
        return partial(self._fill, name)

    def _fill(self, name: str, *arguments: Any) -> int:
        answers = self.answers[name]
        for argument, answer in zip(arguments[len(arguments) - len(answers) :], answers, strict=True):
            for field, value in answer.items() if isinstance(answer, dict) else [("value", answer)]:
                setattr(argument._obj, field, value)
        return self.failing.get(name, 0)

    def _list(self, processes: list[tuple[int, int]], _: Any, count: Any, room: Any) -> int:
        if room is None:
            return int(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
        count._obj.value = len(processes)
        for at, (pid, used) in enumerate(processes):
            room[at].pid, room[at].usedGpuMemory = pid, used
        return int(pynvml.NVML_SUCCESS)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Below the real package; there is none on this machine."""
    made = Driver()
    monkeypatch.setattr(pynvml, "_LoadNvmlLibrary", lambda: None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer", made.function)
    return made


def test_the_real_package(gpu: Callable[[Any], Nvidia], driver: Driver) -> None:
    collector = gpu(pynvml)
    found = collector.collect(0)
    assert of(found, FIRST) == {
        "acc_utilization": 75, "acc_mem_util": 40, "acc_mem_used": 20 << 30, "nv_fb_mem_total": 80 << 30,
        "acc_power": 250.5, "nv_power_max_limit": 700, "nv_energy_abs": 123456.789, "nv_temp": 61, "nv_fan": 30,
        "nv_sm_clock": 1.98e9, "nv_mem_clock": 1.98e9, "nv_graphics_clock": 1.98e9,
        "nv_encoder_util": 5, "nv_decoder_util": 6, "nv_ecc_corrected_error": 3, "nv_ecc_uncorrected_error": 3,
        "nv_remapped_rows_corrected": 2, "nv_remapped_rows_uncorrected": 1, "nv_remapped_rows_pending": 0,
        "nv_remapped_rows_failure": 0, "nv_compute_processes": 2,
    }  # fmt: skip
    assert {(r.type_id, r.stype_id, r.value) for r in found if r.type == "container"} == {(WEB, FIRST, 107), (JOB, FIRST, 50)}
    # What an instance of MIG, a passive cooler and a new driver do not have.
    for name in ("nvmlDeviceGetUtilizationRates", "nvmlDeviceGetFanSpeed"):
        driver.failing[name] = pynvml.NVML_ERROR_NOT_SUPPORTED
    driver.failing["nvmlDeviceGetTemperature"] = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
    later = of(collector.collect(10), FIRST)
    assert later["nv_temp"] == 62
    assert not {"acc_utilization", "nv_fan"} & later.keys()


@pytest.mark.parametrize(
    ("function", "number", "error"),
    [
        ("nvmlInitWithFlags", pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVMLError_DriverNotLoaded),
        ("nvmlDeviceGetCount_v2", pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVMLError_Uninitialized),
        ("nvmlDeviceGetMemoryInfo", pynvml.NVML_ERROR_GPU_IS_LOST, None),
        ("nvmlDeviceGetHandleByIndex_v2", pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVMLError_GpuIsLost),
    ],
)
def test_errors_of_the_real_package(
    function: str, number: int, error: type[Exception] | None, gpu: Callable[[Any], Nvidia], driver: Driver
) -> None:
    driver.failing[function] = number
    collector = gpu(pynvml)
    if error is None:
        assert collector.collect(0) == []
    else:
        with pytest.raises(error):
            collector.collect(0)
    driver.failing.clear()
    assert of(collector.collect(60), FIRST)["acc_power"] == 250.5


def test_the_stand_in_has_no_function_that_the_library_does_not_have() -> None:
    assert all(hasattr(pynvml, f"nvmlDeviceGet{name}") for name in Library().answers)
    with pytest.raises(AttributeError):
        _ = Library().nvmlDeviceGetNothing
