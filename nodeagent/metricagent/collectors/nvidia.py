"""NVIDIA GPUs, by the driver's library (NVML) through nvidia-ml-py, which is loaded only where the driver is.

What a device does not support, or its driver does not allow, is left out. Devices that are cut into MIG instances report
memory, power and temperature as a whole, and no utilisation.

Which container uses a device: the ids of the processes on it, which the driver names only to a caller in the host's PID
namespace, lead by their cgroups to the container. What they hold is at the container, and below it the device.
"""

import importlib
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from metricagent.collector import Reading
from metricagent.collectors.patience import Patient
from metricagent.host import Host, Survey
from metricwire.dcos import CONTAINER

logger = logging.getLogger(__name__)

CONTAINER_ID = re.compile(rb"[0-9a-f]{64}")


class Device(NamedTuple):
    """A device: the library's handle, and its PCI address as NVML writes it, 00000000:49:00.0."""

    handle: Any
    address: str

    def reading(self, metric: str, value: float) -> Reading:
        """A value of the device."""
        return Reading(metric, float(value), "accelerator", self.address)


Measure = Callable[[Any, Device], Iterator[Reading]]


def utilization(nvml: Any, device: Device) -> Iterator[Reading]:
    """Percent of the time, over what the device takes for a sample (1/6 s to 1 s)."""
    found = nvml.nvmlDeviceGetUtilizationRates(device.handle)
    yield device.reading("acc_utilization", found.gpu)
    yield device.reading("acc_mem_util", found.memory)


def memory(nvml: Any, device: Device) -> Iterator[Reading]:
    """Bytes of the frame buffer; what the driver keeps for itself is in use."""
    found = nvml.nvmlDeviceGetMemoryInfo(device.handle)
    yield device.reading("acc_mem_used", found.used)
    yield device.reading("nv_fb_mem_total", found.total)


def power(nvml: Any, device: Device) -> Iterator[Reading]:
    """Watts, from milliwatts."""
    yield device.reading("acc_power", nvml.nvmlDeviceGetPowerUsage(device.handle) / 1000)


def power_limit(nvml: Any, device: Device) -> Iterator[Reading]:
    """Watts, from milliwatts."""
    yield device.reading("nv_power_max_limit", nvml.nvmlDeviceGetEnforcedPowerLimit(device.handle) / 1000)


def energy(nvml: Any, device: Device) -> Iterator[Reading]:
    """Joules since the driver was loaded, from millijoules."""
    yield device.reading("nv_energy_abs", nvml.nvmlDeviceGetTotalEnergyConsumption(device.handle) / 1000)


def temperature(nvml: Any, device: Device) -> Iterator[Reading]:
    """Degrees Celsius of the chip."""
    try:
        found = nvml.nvmlDeviceGetTemperature(device.handle, nvml.NVML_TEMPERATURE_GPU)
    except nvml.NVMLError as error:
        if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:  # drivers after CUDA 13 have the other function alone
            raise
        found = nvml.nvmlDeviceGetTemperatureV(device.handle, nvml.NVML_TEMPERATURE_GPU)
    yield device.reading("nv_temp", found)


def fan(nvml: Any, device: Device) -> Iterator[Reading]:
    """Percent of the full speed that is asked of the fan."""
    yield device.reading("nv_fan", nvml.nvmlDeviceGetFanSpeed(device.handle))


def clocks(nvml: Any, device: Device) -> Iterator[Reading]:
    """Hertz, from megahertz."""
    yield device.reading("nv_sm_clock", nvml.nvmlDeviceGetClockInfo(device.handle, nvml.NVML_CLOCK_SM) * 1e6)
    yield device.reading("nv_mem_clock", nvml.nvmlDeviceGetClockInfo(device.handle, nvml.NVML_CLOCK_MEM) * 1e6)
    yield device.reading("nv_graphics_clock", nvml.nvmlDeviceGetClockInfo(device.handle, nvml.NVML_CLOCK_GRAPHICS) * 1e6)


def encoder(nvml: Any, device: Device) -> Iterator[Reading]:
    """Percent of the time, of the encoder and the decoder of video."""
    yield device.reading("nv_encoder_util", nvml.nvmlDeviceGetEncoderUtilization(device.handle)[0])
    yield device.reading("nv_decoder_util", nvml.nvmlDeviceGetDecoderUtilization(device.handle)[0])


def errors(nvml: Any, device: Device) -> Iterator[Reading]:
    """Memory errors since the driver was loaded."""
    since_load = nvml.NVML_VOLATILE_ECC
    for metric, kind in (
        ("nv_ecc_corrected_error", nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        ("nv_ecc_uncorrected_error", nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    ):
        yield device.reading(metric, nvml.nvmlDeviceGetTotalEccErrors(device.handle, kind, since_load))


def remapped(nvml: Any, device: Device) -> Iterator[Reading]:
    """Rows of memory that were replaced, and whether a replacement waits for a reset (1) or failed (1)."""
    names = ("corrected", "uncorrected", "pending", "failure")
    for name, value in zip(names, nvml.nvmlDeviceGetRemappedRows(device.handle), strict=True):
        yield device.reading(f"nv_remapped_rows_{name}", value)


MEASURES: tuple[Measure, ...] = (
    utilization, memory, power, power_limit, energy, temperature, fan, clocks, encoder, errors, remapped,
)  # fmt: skip


class Nvidia:
    """The collector; `load` gives the library's functions. A device that fails costs itself alone."""

    def __init__(self, host: Host, load: Callable[[], Any] = lambda: importlib.import_module("pynvml")) -> None:
        self._proc = host.proc
        self._load = load
        self._nvml: Any = None  # kept open: without a client the driver puts its devices to sleep, and waking takes seconds
        self._present = Survey((host.proc / "driver/nvidia/version").exists)
        self._devices = Survey(self._look)
        self._refused: set[tuple[str, Measure]] = set()  # what a device, by its address, does not measure
        self._failing: set[str] = set()  # addresses; numbers of those that have none now
        self._now = 0.0
        self._ask: Patient[str, list[Reading]] = Patient(lambda _: self._read(self._now))

    def collect(self, now: float) -> list[Reading]:
        """What the devices do now. TimeoutError when the driver does not answer, an NVMLError when it cannot be used."""
        if not self._present.at(now):
            return []
        self._now = now
        return self._ask("the NVIDIA driver")

    def _read(self, now: float) -> list[Reading]:
        found: list[Reading] = []
        devices, failed = self._devices.at(now), 0
        for device in devices:
            try:
                found += [
                    reading for measure in (*MEASURES, self._processes) for reading in self._unless_refused(device, measure)
                ]
            except self._nvml.NVMLError as error:
                failed += 1
                self._failed(device.address, error)
            else:
                self._failing.discard(device.address)
        if devices and failed == len(devices):  # as after the driver was replaced
            self._close()
        return found

    def _look(self) -> list[Device]:
        """The devices there are now."""
        if self._nvml is None:
            nvml = self._load()
            nvml.nvmlInit()
            self._nvml = nvml
        found: list[Device] = []
        errors: list[Exception] = []
        try:
            for number in range(self._nvml.nvmlDeviceGetCount()):
                try:
                    found.append(self._device(number))
                except self._nvml.NVMLError as error:  # counted, but lost, or without power
                    errors.append(error)
                    self._failed(str(number), error)
                else:
                    self._failing.discard(str(number))
            if errors and not found:
                raise errors[0]
        except self._nvml.NVMLError:
            self._close()
            raise
        return found

    def _device(self, number: int) -> Device:
        handle = self._nvml.nvmlDeviceGetHandleByIndex(number)
        return Device(handle, self._nvml.nvmlDeviceGetPciInfo(handle).busId)

    def _failed(self, device: str, error: Exception) -> None:
        """Say it once."""
        if device not in self._failing:
            self._failing.add(device)
            logger.warning("cannot read GPU %s: %s", device, error)

    def _close(self) -> None:
        """Begin anew when devices are looked for the next time."""
        nvml, self._nvml = self._nvml, None
        self._refused.clear()
        self._devices = Survey(self._look)
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()

    def _unless_refused(self, device: Device, measure: Measure) -> list[Reading]:
        """What a measure gives of a device; nothing, and no more questions, where the device or driver does not have it."""
        if (device.address, measure) in self._refused:
            return []
        try:
            return list(measure(self._nvml, device))
        except self._nvml.NVMLError as error:
            if error.value not in self._refusals():
                raise
            self._refused.add((device.address, measure))
            return []

    def _refusals(self) -> tuple[int, ...]:
        """The errors that mean: not this device, not this driver, not this caller."""
        nvml = self._nvml
        return (
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_INVALID_ARGUMENT,
            nvml.NVML_ERROR_NO_PERMISSION,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        )

    def _processes(self, nvml: Any, device: Device) -> Iterator[Reading]:
        """The processes on a device, and what those of each container hold of it."""
        computing = nvml.nvmlDeviceGetComputeRunningProcesses(device.handle)
        drawing = nvml.nvmlDeviceGetGraphicsRunningProcesses(device.handle)
        memory = {process.pid: float(process.usedGpuMemory or 0) for process in (*drawing, *computing)}
        held: dict[str, float] = defaultdict(float)
        for pid, size in memory.items():
            if container := self._container(pid):
                held[container] += size
        yield device.reading("nv_compute_processes", len(computing))
        for container, size in held.items():
            yield Reading("container_accelerator_memory_used_bytes", size, CONTAINER, container, "accelerator", device.address)

    def _container(self, pid: int) -> str:
        """The id of the container that a process is in; "" when it is in none, or gone."""
        try:
            return container_of((self._proc / str(pid) / "cgroup").read_bytes())
        except (FileNotFoundError, ProcessLookupError):
            return ""


def container_of(text: bytes) -> str:
    """The container's id, 64 hex digits, in `0::/kubepods.slice/.../cri-containerd-<id>.scope`; "" when there is none."""
    found = CONTAINER_ID.findall(text)
    return found[-1].decode() if found else ""
