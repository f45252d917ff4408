"""Makes calls by grpcio and prints the details of the last one's refusal, as grpcio-status decodes them.

usage: decode_details.py ADDRESS METHOD REQUEST TIMES

REQUEST is a message in hexadecimal digits. It is sent so many TIMES, or until there is no room. Prints {"code": …, "message": …} and what the details have of
field violations, of the delay to retry after, in seconds, and of the reason.
"""

import json
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def main():
    address, method, request, times = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            method, request_serializer=bytes.fromhex, response_deserializer=bytes
        )
        for _ in range(int(times)):
            found = outcome(call, request)
            if found["code"] == "RESOURCE_EXHAUSTED":
                break
    print(json.dumps(found))


def outcome(call, request):
    """What came of one call."""
    try:
        call(request, timeout=20)
        return {"code": "OK"}
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        found = {"code": error.code().name, "message": error.details()}
        for detail in [] if status is None else status.details:
            found.update(read(detail))
        return found


def read(detail):
    """What one of the details says."""
    for message in (
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
        error_details_pb2.ErrorInfo(),
    ):
        if detail.Unpack(message):
            break
    else:
        return {"unknown": detail.type_url}
    if isinstance(message, error_details_pb2.BadRequest):
        return {"violations": [[it.field, it.description] for it in message.field_violations]}
    if isinstance(message, error_details_pb2.RetryInfo):
        return {"retry_after": message.retry_delay.ToTimedelta().total_seconds()}
    return {"reason": message.reason}


main()
