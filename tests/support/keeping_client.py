"""A program that posts what stdin says on one kept connection, as a coding CLI's http hooks do.

Each line in is ``{"path", "body"}``, each line out ``{"status", "answer"}``.
Arguments: port and token.
"""

import http.client
import json
import sys

if __name__ == "__main__":
    port, token = sys.argv[1:]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    for line in sys.stdin:
        asked = json.loads(line)
        said = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", asked["path"], json.dumps(asked["body"]), said)
        response = connection.getresponse()
        answer = json.loads(response.read())
        sys.stdout.write(json.dumps({"status": response.status, "answer": answer}) + "\n")
        sys.stdout.flush()
    connection.close()
