"""etcd's wire stubs, and the only import of the package they come from.

They carry no types: what etcd takes and answers is ``Message``, and ``wire`` turns
it into the port's values.
"""

from typing import Any

import etcd3.etcdrpc

rpc: Any = etcd3.etcdrpc

Message = Any
