"""Passes each request to 127.0.0.1:PORT and waits for its answer; loses every third of them. Prints its own port first,
then `lost` for each answer that it kept to itself. One request a connection."""

import itertools
import socket
import sys
import threading

upstream = int(sys.argv[1])
numbers = itertools.count(1)
guard = threading.Lock()


def read_message(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body


def serve(client):
    with client:
        request = read_message(client)
        if not request:
            return
        with socket.create_connection(("127.0.0.1", upstream)) as server:
            server.sendall(request)
            answer = read_message(server)
        with guard:
            is_lost = next(numbers) % 3 == 0
            if is_lost:
                print("lost", flush=True)
        if not is_lost:
            client.sendall(answer)


listener = socket.create_server(("127.0.0.1", 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
