/* The peak of AMX: two rows of tiles times two columns, as a product has them. */
#include "kernels/amx.h"
#include "kernels/peak_loops.h"

/* Small numbers in every form: 0x3f01 is a bf16 of a half. */
static void load_operands(void)
{
    uint16_t tile[16 * 32];
    for (size_t i = 0; i < sizeof tile / sizeof *tile; i++)
        tile[i] = 0x3f01;
    amx_configure(32);
    amx_publish(tile);
    _tile_loadd(4, tile, 64);
    _tile_loadd(5, tile, 64);
    _tile_loadd(6, tile, 64);
    _tile_loadd(7, tile, 64);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

void peak_int8_amx(int64_t n_rounds)
{
    load_operands();
    for (int64_t i = 0; i < n_rounds; i++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_release();
}

void peak_bf16_amx(int64_t n_rounds)
{
    load_operands();
    for (int64_t i = 0; i < n_rounds; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
}
