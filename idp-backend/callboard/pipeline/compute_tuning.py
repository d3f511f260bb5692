"""Step 2: how much an agent needs for its dataset.

The rule. Everything follows from one estimate, the size of the dataset as a data frame:

    frame = bytes + rows * sum(width of each column)

A column's width is what pandas keeps a cell in: 1 byte for a boolean, 8 for a number, a date or
a timestamp, 64 for the object that holds a text (the text itself is counted by `bytes`). The
estimate only grows with rows, columns and bytes, and every resource is a non-decreasing function
of it between a floor and a cap, rounded up to a step:

    memory of one execution   256 MiB + 3 frames (the frame, a sorted copy, a result)   ≤ 6 GiB
    sandbox memory            256 MiB for the server + 2 executions side by side
    sandbox CPU               500 m + 1 m for each MiB of frame                         ≤ 4,000 m
    sandbox disk              64 MiB + twice the larger of bytes and frame              ≤ 16 GiB
    execution time-out        10 s + 1 s for each 32 MiB of frame                       ≤ 40 s

A frame past the caps is worked on in chunks (`chunk_rows`). What one answer may carry to the
model is a fixed number of cells, so wide datasets send fewer rows; the model's output grows with
the number of columns, since charts and tables name them.

Time-outs are ordered from the inside out: each waits for the one within it, and a little more.

    execution < tool (+ 5 s) < turn (two tools + 20 s of model) < chat (+ 5 s) < route (+ 5 s)
"""

from dataclasses import dataclass
from typing import Final

from callboard.domain.dataset import ColumnType, DatasetProfile

WIDTHS: Final = {
    ColumnType.BOOLEAN: 1,
    ColumnType.INTEGER: 8,
    ColumnType.DECIMAL: 8,
    ColumnType.DATE: 8,
    ColumnType.TIMESTAMP: 8,
    ColumnType.TEXT: 64,
}
MIB: Final = 1024 * 1024
SERVER_MIB: Final = 256
EXECUTIONS: Final = 2
"""How many executions a sandbox runs side by side."""
CHUNK_MIB: Final = 64
CELLS_TO_MODEL: Final = 2_000


@dataclass(frozen=True, slots=True)
class Tuning:
    """Memory and disk in MiB, CPU in thousandths of a core, time-outs in whole seconds."""

    frame_mib: int
    execution_memory_mib: int
    sandbox_memory_mib: int
    sandbox_cpu_millis: int
    sandbox_disk_mib: int
    executions: int
    chunk_rows: int
    sample_rows: int
    max_rows_to_model: int
    model_max_output_tokens: int
    execution_seconds: int
    tool_seconds: int
    turn_seconds: int
    chat_seconds: int
    route_seconds: int


def compute_tuning(dataset: DatasetProfile) -> Tuning:
    width = sum(WIDTHS[column.type] for column in dataset.columns)
    columns = max(1, len(dataset.columns))
    frame = dataset.bytes + dataset.rows * width
    frame_mib = _parts(frame, MIB)
    execution_memory = _step(256 + 3 * frame_mib, 64, cap=6 * 1024)
    execution = min(10 + _parts(frame, 32 * MIB), 40)
    tool = execution + 5
    turn = 2 * tool + 20
    chat = turn + 5
    row_bytes = max(1, frame // max(1, dataset.rows))
    return Tuning(
        frame_mib=frame_mib,
        execution_memory_mib=execution_memory,
        sandbox_memory_mib=SERVER_MIB + EXECUTIONS * execution_memory,
        sandbox_cpu_millis=_step(500 + frame_mib, 250, cap=4_000),
        sandbox_disk_mib=_step(
            64 + 2 * max(frame_mib, _parts(dataset.bytes, MIB)), 64, cap=16 * 1024
        ),
        executions=EXECUTIONS,
        chunk_rows=max(1_000, min(1_000_000, CHUNK_MIB * MIB // row_bytes // 1_000 * 1_000)),
        sample_rows=max(5, min(50, 500 // columns)),
        max_rows_to_model=max(10, min(200, CELLS_TO_MODEL // columns)),
        model_max_output_tokens=_step(1_024 + 32 * columns, 256, cap=8_192),
        execution_seconds=execution,
        tool_seconds=tool,
        turn_seconds=turn,
        chat_seconds=chat,
        route_seconds=chat + 5,
    )


def _parts(amount: int, size: int) -> int:
    """How many parts of that size it takes (rounded up)."""
    return -(-amount // size)


def _step(amount: int, step: int, *, cap: int) -> int:
    return min(_parts(amount, step) * step, cap)
