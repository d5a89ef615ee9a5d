"""The service: uploads that are hostile until looked at, batches, and answers that go back to whoever asked."""
