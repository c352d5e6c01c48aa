"""A gRPC server with the health protocol, for the lab: the states of its services are the lines `NAME NUMBER` of a file,
read at each call; a name that is not there is NOT_FOUND, and without a file there is no health service.

    health_server.py STATES|- PORT... [tls CERTIFICATE KEY PORT]

The name must not be that of a package of gRPC, which would import it.
"""
import concurrent.futures
import sys

import grpc


class Health(grpc.GenericRpcHandler):
    def __init__(self, states):
        self.states = states

    def service(self, call):
        if self.states == "-" or call.method != "/grpc.health.v1.Health/Check":
            return None
        return grpc.unary_unary_rpc_method_handler(self.check)

    def check(self, request, context):
        # One field of a name shorter than 128 bytes, or nothing.
        name = request[2:].decode()
        with open(self.states, encoding="utf-8") as lines:
            states = dict(line.rstrip("\n").rsplit(" ", 1) for line in lines)
        if name not in states:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service " + name)
        return bytes([8, int(states[name])])


words = sys.argv[1:]
server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((Health(words[0]),))
ports, tls = (words[1:], []) if "tls" not in words else (words[1 : words.index("tls")], words[-3:])
for port in ports:
    assert server.add_insecure_port("0.0.0.0:" + port)
if tls:
    certificate, key, port = tls
    with open(key, "rb") as key, open(certificate, "rb") as certificate:
        credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
    assert server.add_secure_port("0.0.0.0:" + port, credentials)
server.start()
server.wait_for_termination()
