_base_ = 'vjepa2-l_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
