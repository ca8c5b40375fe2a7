"""What schemathesis has to be told: how bodies of a media type that it does not know are sent."""

import schemathesis


@schemathesis.serializer("application/partial-upload")
def partial_upload(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
