// C interface of the verilated top level: one call is one clock cycle. Included after PORT_NUMBERS, the places of
// ports, and PORTS are defined, a list of X(index, name) for the read side and, for the port that also writes, Y(index, name).
#include "Vcnna_top.h"
#include "Vcnna_top___024root.h"
#include "verilated.h"
#include "verilated_save.h"
#include <cstdint>
#include <cstring>

extern "C" {
struct PortIn { uint8_t arready, rvalid, rlast, awready, wready, bvalid, rresp, bresp; uint32_t rdata[4]; };
struct PortOut {
    uint64_t araddr, awaddr;
    uint8_t arvalid, arlen, rready, awvalid, awlen, wvalid, wlast, bready;
    uint32_t wdata[4], wstrb, pad;
};
struct In { PortIn port[PORT_NUMBERS]; uint32_t awaddr, wdata, araddr; uint8_t aresetn, awvalid, arvalid, pad; };
struct Out { PortOut port[PORT_NUMBERS]; uint32_t rdata; uint8_t awready, arready, rvalid, bvalid, busy, pad[3]; };
}

static void put(VlWide<4>& to, const uint32_t* from) { for (int i = 0; i < 4; i++) to[i] = from[i]; }
static void put(QData& to, const uint32_t* from) { to = from[0] | (uint64_t(from[1]) << 32); }
static void get(uint32_t* to, const VlWide<4>& from) { for (int i = 0; i < 4; i++) to[i] = from[i]; }
static void get(uint32_t* to, QData from) { to[0] = uint32_t(from); to[1] = uint32_t(from >> 32); }

struct Model { VerilatedContext context; Vcnna_top top{&context}; };

extern "C" Model* cnna_new() { return new Model; }
extern "C" void cnna_free(Model* m) { m->top.final(); delete m; }
extern "C" int cnna_failed(Model* m) { return m->context.gotFinish() || m->context.gotError(); }
extern "C" int cnna_save(Model* m, const char* path) {
    VerilatedSave to;
    to.open(path);
    if (!to.isOpen()) return 0;
    to << m->top;
    to.close();
    return 1;
}
extern "C" int cnna_restore(Model* m, const char* path) {
    VerilatedRestore from;
    from.open(path);
    if (!from.isOpen()) return 0;
    from >> m->top;
    from.close();
    return 1;
}
extern "C" void cnna_cycle(Model* m, const In* in, Out* out) {
    Vcnna_top& t = m->top;
    t.aclk = 0;
    t.aresetn = in->aresetn;
    t.s_axil_awaddr = in->awaddr;
    t.s_axil_awvalid = in->awvalid;
    t.s_axil_wdata = in->wdata;
    t.s_axil_wstrb = 15;
    t.s_axil_wvalid = in->awvalid;
    t.s_axil_bready = 1;
    t.s_axil_araddr = in->araddr;
    t.s_axil_arvalid = in->arvalid;
    t.s_axil_rready = 1;
#define X(i, name) \
    t.name##_arready = in->port[i].arready; t.name##_rvalid = in->port[i].rvalid; \
    t.name##_rlast = in->port[i].rlast; t.name##_rresp = in->port[i].rresp; put(t.name##_rdata, in->port[i].rdata);
#define Y(i, name) \
    t.name##_awready = in->port[i].awready; t.name##_wready = in->port[i].wready; \
    t.name##_bvalid = in->port[i].bvalid; t.name##_bresp = in->port[i].bresp;
    PORTS
#undef X
#undef Y
    t.eval();
    out->rdata = t.s_axil_rdata;
    out->awready = t.s_axil_awready;
    out->arready = t.s_axil_arready;
    out->rvalid = t.s_axil_rvalid;
    out->bvalid = t.s_axil_bvalid;
    out->busy = t.rootp->cnna_top__DOT__i_probes__DOT__busy;
#define X(i, name) \
    out->port[i].arvalid = t.name##_arvalid; out->port[i].araddr = t.name##_araddr; \
    out->port[i].arlen = t.name##_arlen; out->port[i].rready = t.name##_rready;
#define Y(i, name) \
    out->port[i].awvalid = t.name##_awvalid; out->port[i].awaddr = t.name##_awaddr; \
    out->port[i].awlen = t.name##_awlen; out->port[i].wvalid = t.name##_wvalid; \
    out->port[i].wlast = t.name##_wlast; out->port[i].wstrb = t.name##_wstrb; out->port[i].bready = t.name##_bready; get(out->port[i].wdata, t.name##_wdata);
    PORTS
#undef X
#undef Y
    t.aclk = 1;
    t.eval();
    m->context.timeInc(1);
}
