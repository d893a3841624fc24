"""bitsandbytes' NF4 as plain fp32 weights, for scripts that need a reference.

bitsandbytes' own linear layer repacks its weights in place on some CPUs at the first evaluation,
and rounds to bfloat16 on the way; expanding first and running plain fp32 layers is the reference.
"""

LINEARS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)


def expand(codes, state):
    """code · absmax in fp32, blocks of 64 over the flat row-major weight.

    bitsandbytes' own dequantize_4bit does the same where rows are whole blocks; where they are not,
    its CPU kernel (0.50.2) takes blocks per row and is wrong by as much as the weights are."""
    import bitsandbytes.functional as bnb
    import torch

    absmax = state.absmax
    if state.nested:
        absmax = bnb.dequantize_blockwise(absmax, state.state2) + state.offset
    packed = codes.flatten()
    values = state.code[torch.stack([packed >> 4, packed & 15], 1).flatten().long()]
    scales = absmax.float().repeat_interleave(state.blocksize)
    n_values = state.shape.numel()
    expanded = (values[:n_values] * scales[:n_values]).reshape(state.shape)
    if state.shape[-1] % state.blocksize == 0:
        state.dtype = torch.float32
        assert torch.equal(expanded, bnb.dequantize_4bit(codes, state))
    return expanded


def nf4_round(weight):
    """Quantises to NF4 with double quantisation, as loading in 4 bit does, and expands again."""
    import bitsandbytes.functional as bnb

    return expand(
        *bnb.quantize_4bit(weight.float(), blocksize=64, quant_type="nf4", compress_statistics=True)
    )


def round_linears(tensors):
    """nf4_round on the seven linear weights of each layer, everything else as it is."""
    return {
        name: nf4_round(tensor) if name.endswith(tuple(m + ".weight" for m in LINEARS)) else tensor
        for name, tensor in tensors.items()
    }


def expand_checkpoint(tensors):
    """A serialised checkpoint's tensors with every NF4 weight expanded to fp32."""
    import bitsandbytes.functional as bnb

    suffix = ".weight.quant_state.bitsandbytes__nf4"
    quantised = [name.removesuffix(suffix) for name in tensors if name.endswith(suffix)]
    parts = {module + ".weight" for module in quantised}
    expanded = {
        name: tensor
        for name, tensor in tensors.items()
        if name not in parts and name.split(".weight.")[0] + ".weight" not in parts
    }
    for module in quantised:
        prefix = module + ".weight."
        state = bnb.QuantState.from_dict(
            {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)},
            device="cpu",
        )
        expanded[module + ".weight"] = expand(tensors[module + ".weight"], state)
    return expanded
