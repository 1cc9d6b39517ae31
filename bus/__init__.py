"""How messages travel: RabbitMQ and the in-process bus under one contract."""
