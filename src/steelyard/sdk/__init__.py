"""The one door for programs that buy.

    >>> from steelyard.sdk import Client
    >>> client = Client("http://127.0.0.1:8080/v1", "sk-…")  # or OPENAI_BASE_URL and OPENAI_API_KEY
    >>> answer = client.chat("Why is the sky blue?", model="smollm2-135m-instruct-q4_1")  # doctest: +SKIP
    >>> print(answer.text, answer.cost_micro, client.verify(answer.receipt))  # doctest: +SKIP

Nothing here is needed to buy: any OpenAI client does. It adds receipts, their verification, and assurance by name.
"""

from steelyard.sdk.client import Answer, Client, Piece
from steelyard.sdk.receipts import check, verify
from steelyard.verification.receipts import Finding, Status, holds
from steelyard.wire.receipts import ReceiptDocument

__all__ = ["Answer", "Client", "Finding", "Piece", "ReceiptDocument", "Status", "check", "holds", "verify"]
