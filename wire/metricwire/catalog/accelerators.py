"""Metrics of accelerators: one place of type "accelerator" by device, its type-id the PCI address.

What cc-metric-collector calls nv_util, nv_mem_util, nv_fb_mem_used and nv_power_usage has the names that ClusterCockpit's own
metric configuration gives it.
"""

from metricwire.catalog.metric import Aggregation, Metric


def _gauge(name: str, unit: str, aggregation: Aggregation | None, help: str) -> Metric:
    return Metric(name, unit, "gauge", aggregation, help, ("accelerator",))


def _counter(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "counter", "sum", help, ("accelerator",))


ACCELERATORS = (
    _gauge("acc_utilization", "percent", "avg", "Share of time in which a program ran on the device."),
    _gauge("acc_mem_util", "percent", "avg", "Share of time in which the device's memory was read or written."),
    _gauge("acc_mem_used", "bytes", "sum", "Device memory in use, by the driver too."),
    _gauge("nv_fb_mem_total", "bytes", "sum", "Device memory."),
    _gauge("acc_power", "watts", "sum", "Power of the device."),
    _gauge("nv_power_max_limit", "watts", "sum", "Power that the device may use."),
    _counter("nv_energy_abs", "joules", "Energy of the device since the driver was loaded."),
    _gauge("nv_temp", "celsius", "avg", "Temperature of the device."),
    _gauge("nv_fan", "percent", "avg", "Speed that is asked of the device's fan."),
    _gauge("nv_sm_clock", "hertz", "avg", "Clock of the multiprocessors."),
    _gauge("nv_mem_clock", "hertz", "avg", "Clock of the device's memory."),
    _gauge("nv_graphics_clock", "hertz", "avg", "Clock of the graphics units."),
    _gauge("nv_encoder_util", "percent", "avg", "Share of time in which the video encoder worked."),
    _gauge("nv_decoder_util", "percent", "avg", "Share of time in which the video decoder worked."),
    _counter("nv_ecc_corrected_error", "count", "Memory errors that were corrected since the driver was loaded."),
    _counter("nv_ecc_uncorrected_error", "count", "Memory errors that were not corrected since the driver was loaded."),
    _gauge("nv_remapped_rows_corrected", "count", "sum", "Rows of memory replaced after corrected errors."),
    _gauge("nv_remapped_rows_uncorrected", "count", "sum", "Rows of memory replaced after errors that were not corrected."),
    _gauge("nv_remapped_rows_pending", "count", "sum", "Whether a replacement waits for the device's reset (1)."),
    _gauge("nv_remapped_rows_failure", "count", "sum", "Whether a replacement failed (1)."),
    _gauge("nv_compute_processes", "count", "sum", "Processes that compute on the device, as far as the driver shows them."),
    _gauge(
        "container_accelerator_memory_used_bytes",
        "bytes",
        "sum",
        "Device memory that a container's processes hold, at the container; 0 where the driver does not tell.",
    ),
)
