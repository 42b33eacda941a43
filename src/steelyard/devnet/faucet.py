"""Money from nowhere for whoever walks into a running devnet: gas from anvil, tokens from the test token's minter."""

from contextlib import closing

from steelyard.chain.bindings.token import Token
from steelyard.chain.deploy import Deployment
from steelyard.chain.rpc import RpcChain
from steelyard.devnet.anvil import CHAIN_ID, DEPLOYER, give_gas
from steelyard.protocol.errors import Refused
from steelyard.protocol.units import Address, MicroToken


def fund(url: str, deployment: Deployment, account: Address, amount: MicroToken) -> None:
    """Gives an account gas and `amount` more test tokens; returns once both are there.

    Raises Refused("devnet.chain") unless it is anvil's chain and the token is the devnet's, before anything is sent."""
    with closing(RpcChain(url, chain_id=deployment.chain_id)) as chain:
        node = str(chain.rpc("web3_clientVersion"))
        if chain.chain_id != CHAIN_ID or not node.startswith("anvil"):
            what = f"{url} serves chain {chain.chain_id} by {node:.40}, not {CHAIN_ID} by anvil"
            raise Refused("devnet.chain", f"{what}: money from nowhere is a devnet's only")
        minter = Token(chain, deployment.token).minter()
        if minter != DEPLOYER.address:
            raise Refused("devnet.chain", f"token {deployment.token} is minted by {minter}, not {DEPLOYER.address}")
        give_gas(chain.rpc, account)
    with closing(RpcChain(url, DEPLOYER, CHAIN_ID)) as chain:
        Token(chain, deployment.token).mint(account, amount)
