"""procrastinate in the benchmark's closed loop: defer, work, and defer the next job once the last one is finished.

    procrastinate_loop.py CONNINFO CONVERSATIONS SECONDS

Each conversation's jobs share a lock, and the worker runs as many jobs at once as there are conversations. One process
defers and works. It polls ten times a second: its own five seconds would dominate the loop whenever it misses a
notification, which it does. Prints one line of JSON.
"""

import asyncio
import json
import logging
import sys
import time

import procrastinate


async def measure(conninfo: str, conversations: int, seconds: float) -> dict:
    connector = procrastinate.PsycopgConnector(conninfo=conninfo, min_size=4, max_size=8)
    app = procrastinate.App(connector=connector)
    finished: dict[int, asyncio.Event] = {}
    latencies: list[tuple[float, float]] = []

    @app.task(name="nothing")
    async def nothing(conversation: int) -> None:
        pass

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        finish_job = app.job_manager.finish_job

        async def finish_and_tell(job, *arguments, **keywords):
            await finish_job(job, *arguments, **keywords)
            finished[job.task_kwargs["conversation"]].set()

        app.job_manager.finish_job = finish_and_tell
        worker = asyncio.create_task(
            app.run_worker_async(
                concurrency=conversations, install_signal_handlers=False, fetch_job_polling_interval=0.1
            )
        )
        begin = time.monotonic() + 1
        end = begin + seconds

        async def converse(conversation: int) -> None:
            finished[conversation] = asyncio.Event()
            task = nothing.configure(lock=f"conversation-{conversation}")
            while (sent_at := time.monotonic()) < end:
                finished[conversation].clear()
                await task.defer_async(conversation=conversation)
                await finished[conversation].wait()
                latencies.append((sent_at, time.monotonic()))

        loops = [asyncio.create_task(converse(number)) for number in range(conversations)]
        await asyncio.wait(loops, timeout=seconds + 15)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    spans = sorted((done - sent) * 1000 for sent, done in latencies if sent >= begin and done <= end)
    at = lambda share: spans[int((len(spans) - 1) * share)] if spans else 0.0
    return {"rate": len(spans) / seconds, "end_p50": at(0.5), "end_p99": at(0.99)}


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
