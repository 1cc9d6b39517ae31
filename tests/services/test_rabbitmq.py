"""The private RabbitMQ keeps its promises, since the fault tests stand on them."""

import pika
import psutil
import pytest
from pika.exceptions import AMQPConnectionError

from tests.services.rabbitmq import PrivateRabbit

PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def test_a_killed_broker_comes_back_with_what_was_confirmed_and_a_wiped_one_without(
    doomed_rabbitmq: PrivateRabbit,
) -> None:
    where = pika.URLParameters(doomed_rabbitmq.url)
    connection = pika.BlockingConnection(where)
    channel = connection.channel()
    channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
    channel.confirm_delivery()
    channel.basic_publish("", "kept", b"7", PERSISTENT)
    doomed_rabbitmq.settle()
    family = [psutil.Process(doomed_rabbitmq.pid), *psutil.Process(doomed_rabbitmq.pid).children(recursive=True)]

    doomed_rabbitmq.kill()
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    with pytest.raises(AMQPConnectionError):
        channel.basic_get("kept")

    doomed_rabbitmq.start()
    with pika.BlockingConnection(where) as connection:
        channel = connection.channel()
        (found,) = [next(channel.consume("kept", inactivity_timeout=30.0))]
        assert found[2] == b"7"
        channel.cancel()

    doomed_rabbitmq.wipe()
    with pika.BlockingConnection(where) as connection:
        declared = connection.channel().queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        assert declared.method.message_count == 0
