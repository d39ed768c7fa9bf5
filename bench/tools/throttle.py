"""A proxy in front of a server: so many bytes a second each way and so much delay a request, for each connection by itself.

Usage: throttle.py TARGET_PORT BYTES_PER_SECOND DELAY_S. Prints its own port, then serves until its standard input ends; prints
then how many requests and connections it saw, and the most that were open at once.
"""
import asyncio
import sys

PIECE = 64 << 10
METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")


class Counts:
    requests = connections = open = most = 0


async def pump(reader, writer, rate, delay, requests):
    """Moves bytes one way; `requests` counts those of a client, and lets each wait as long as its way takes."""
    loop = asyncio.get_running_loop()
    free = loop.time()
    idle_since = 0.0
    try:
        while piece := await reader.read(PIECE):
            now = loop.time()
            if requests and piece.startswith(METHODS) and now - idle_since > 0.0005:
                Counts.requests += 1
                await asyncio.sleep(delay)
                now = loop.time()
            free = max(free, now) + len(piece) / rate
            writer.write(piece)
            await writer.drain()
            if free - loop.time() > 0.002:
                await asyncio.sleep(free - loop.time())
            idle_since = loop.time()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        try:
            writer.close()
        except ConnectionError:
            pass


async def serve(port, rate, delay):
    async def connected(reader, writer):
        Counts.connections += 1
        Counts.open += 1
        Counts.most = max(Counts.most, Counts.open)
        try:
            # The handshake's own way there and back.
            await asyncio.sleep(delay)
            above_reader, above_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, above_writer, rate, delay, True), pump(above_reader, writer, rate, 0, False))
        except asyncio.CancelledError:
            # The end, while a connection is kept for more.
            pass
        finally:
            Counts.open -= 1

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=PIECE)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    print(Counts.requests, Counts.connections, Counts.most, flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
